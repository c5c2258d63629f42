"""What nearly every process of these tests needs, loaded before the process is forked."""

from core.compose import compose
from core.models.timm_import import import_timm

import_timm()
compose([])
