"""Desktops of one lab that show different things, one of them drawn by OpenGL."""

from __future__ import annotations

import dataclasses

import pytest

from vdibench.client import DesktopSession, SessionOptions
from vdibench.lab import Lab, LabSpec, workloads
from vdibench.recorder import Place, Recorder
from vdibench.records import Display, Run, Workload
from vdibench.selkies import Role
from vdibench.store import Recording, RunFolder

from .footprints import SMALL

SLOW = dataclasses.replace(SMALL, display=Display(640, 360, 15), audible=False)
RUN = Run("", "workloads", "smoke", "lab", 0.0)


@pytest.mark.timeout(120)
async def test_each_desktop_shows_its_own_and_the_marker_of_a_scene_is_read(tmp_path) -> None:
    shown = workloads("3d,idle")
    folder = RunFolder.create(tmp_path, RUN)
    with Lab.up(LabSpec(tuple(dataclasses.replace(SLOW, workload=item) for item in shown)), owned=True) as lab:
        assert [desktop.workload for desktop in lab.desktops] == [Workload.SCENE, Workload.IDLE]
        scene, idle = lab.desktops
        assert scene.renderer
        assert scene.shows.startswith("3d (")
        assert (idle.renderer, idle.shows) == ("", "idle")
        session = DesktopSession(scene, Recorder(folder, Place("workloads")), SessionOptions(role=Role.CONTROLLER))
        await session.connect()
        try:
            await session.first_frame()
            await session.watch(3.0)
        finally:
            await session.leave()
    folder.close()
    frames = Recording.open(folder.path).table("frames")
    # Encoded in software beside the scene's own drawing, most pictures still show a marker that can be read.
    assert frames.marker_unix_seconds.notna().mean() > 0.8
    assert frames.marker_unix_seconds.nunique() > 10
