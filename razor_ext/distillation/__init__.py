"""Learning from the dense model while it is compressed, by one word of a config."""
from .losses import DISTILL_LOSSES, gait_loss, logits_loss, outputs_loss, simcc_loss
from .outputs import OutputDistillation, check_distill
from .recording import recorded
from .teacher import Teacher

__all__ = ['DISTILL_LOSSES', 'OutputDistillation', 'Teacher', 'check_distill', 'gait_loss',
           'logits_loss', 'outputs_loss', 'recorded', 'simcc_loss']
