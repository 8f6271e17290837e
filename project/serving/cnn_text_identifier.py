"""The model `cnn_text_identifier`: pixels of lines in, log-probs out. A version is loaded by `model_script`."""

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext

from project.errors import InputError
from project.recognition.recognizer import Recognizer
from project.serving.tensors import pad, split_pixels


class CnnTextIdentifier(PythonModel):
    """Turn pixel values (N, 1, H, W) into log-probs (N, T, C); what cannot be read is answered with status 400."""

    def load_context(self, context: PythonModelContext) -> None:
        self.recognizer = Recognizer.load(context.artifacts["recognizer"])

    def predict(self, context: PythonModelContext, model_input: np.ndarray, params: dict | None = None) -> list:
        return self.answers(model_input, params).tolist()

    def answers(self, pixels: np.ndarray | list, params: dict | None) -> np.ndarray:
        """Return the same as an array; `serving.request` calls it in both models."""
        try:
            line_images = [self.recognizer.line_image(picture) for picture in split_pixels(pixels)]
        except InputError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
        return pad(self.recognizer.log_probs(line_images))


mlflow.models.set_model(CnnTextIdentifier())
