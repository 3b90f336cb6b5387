"""The app that the demonstration's worker processes import. The URL comes from who starts them."""

import os
import warnings

from mainspring import Mainspring
from mainspring.demo.tasks import tasks

# What the compiler has to say about other people's sources is not ours to print, nor to fail by.
warnings.simplefilter("ignore")

app = Mainspring(os.environ["MAINSPRING_URL"], tasks)
