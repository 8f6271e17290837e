"""Pictures of handwriting to text, with MLflow around it. A package is a stage; imports go up this list only.

recognition  a picture of one line -> its text, with confidence and places
pages        a picture of a page -> pictures of its lines in reading order; what was read -> PAGE, ALTO, PDF
data         where lines and their transcriptions come from, and which split each is in
evaluation   CER, WER, calibration; figures to look at
training     lines and settings -> a trained network
tracking     a training run in MLflow, from its settings to a registered version
archive      many pictures -> a table of what is written in them; lines for correction
serving      a registered version behind HTTP (needs recognition and pages alone)

A picture is a file or its pixels; a line image is what the network takes, uint8 (1, height, W); a frame is 4 px of it,
and a column of the log-probs. A twin is the same weights as a version of the other registered model.

The commands (`python -m project.NAME`, the entry points of MLproject) parse, call and print. `cli` is what they share,
`handover` the files that they hand to each other, `atomic` how any file is replaced, `errors` what the user can mend.
`base` is the base model, `container` what deploys the server.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read by ONNX Runtime at its import: no usage data
