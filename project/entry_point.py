"""What all entry points share: errors in words, a trace in `log.log`, and an exit code that makes the run FAILED."""

import logging
import sys
from collections.abc import Callable

from mlflow.exceptions import MlflowException

LOG_FILE = "log.log"

log = logging.getLogger(__name__)


def entry_point(name: str, main: Callable[[], None]) -> None:
    """Call `main`. An error that the user can mend is one line on stderr; any other shows its trace too."""
    logging.basicConfig(
        filename=LOG_FILE, level=logging.INFO, format=f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s"
    )
    log.info("started: %s", " ".join(sys.argv[1:]))
    try:
        main()
    except (ValueError, OSError, MlflowException) as error:
        log.exception("failed")
        sys.exit(f"{name}: {error}")
    except BaseException:
        log.exception("failed")
        raise
    log.info("finished")
