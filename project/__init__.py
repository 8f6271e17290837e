"""Handwritten lines to text, with MLflow around it. One image goes through these rooms, from file to text:

images       any picture of a line -> the line image that the network reads; a padded batch of them
charset      text <-> labels
dataset      where line images and transcriptions come from, and which split each is in
texts        English that is worth writing by hand: prose and records; no text in two splits
synthetic    text + a handwriting font -> a line image: the embedded default data
store        the line images of a data set, decoded once and kept in a file
lines        data sets -> lines that the network can learn from, by split
augmentation a batch -> a varied batch (training only)
processes    the processes that train together, and what they tell each other
crnn         line images -> log-probs, in torch: the network that is trained
parts        a batch in parts: what learns from each, and how they are put together
optimizer    gradients -> weights
memory       what a training leaves of the machine's memory to others
inference    the same network without torch: the engine that reads
ngram        how probable a text is: a character n-gram
decoding     log-probs -> labels
confidence   how sure a reading is, so that it is right as often as it says
metrics      CER and WER
registry     which registered version is meant, and where its files are
recognizer   the trained recogniser: its files, and what it answers
comparison   how a recogniser reads labelled rows: line by line, and in figures
tuning       validation lines -> the language model and the calibration of a trained recogniser
registration a trained recogniser -> a registered version of both MLflow models
invocation   the body of a request -> the body of its answer, by way of an MLflow model
serving      the front of a served version: limits, a queue, worker processes
settings     what a training run may vary, and within which bounds
checkpoints  which checkpoint file is a run's own, and what is in it
training     lines + settings -> a trained network
pictures     what people look at: lines with their predictions, curves, log-probs
tracking     what MLflow is told while a network trains, even when nobody listens
report       what a run leaves in MLflow beside the figures of its epochs
experiment   one training run in MLflow, from data and settings to a registered version
archive      any number of pictures -> a table of what is written in them: in parts, and resumable
spark        the same on Apache Spark
review       the least certain lines, handed to a person for correction

A room imports only rooms above it. `cnn_text_identifier` and `handwriting_reader` are the scripts of the two MLflow
models. Entry points (main, train, pretrain, convert, serve_model, sampler, poster, text_identifier, evaluate,
transcribe) parse, call and print; `entry_point` is what they share, `files` what they hand to each other.
"""
