"""The JSON interface: what the pages show and do, for programs."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from dashboards.api import dead, looking, operations, repairing

router: Final = APIRouter(prefix="/api/v1")
for module in (looking, dead, operations, repairing):
    router.include_router(module.router)
