"""Former place of `razor_ext.gait.deploy.codebase`, which earlier deploy configs name."""
from razor_ext.gait.deploy.codebase import *  # noqa: F403
