"""The folder that all nodes see: what is in it, and what is put there and removed."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Callable, Dict, List, Set

from job import Job, Json, place_all

MAX_LISTED = 10_000
ITEM = re.compile(r"[0-9a-z]{1,128}")
JOB = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")


def store(job: Job) -> None:
    """Puts items into the storage, and prints which are there."""
    place_all(job)
    names = sorted(entry.name for entry in job.items.iterdir() if ITEM.fullmatch(entry.name))
    for name in set(names).intersection(job.data["wanted"]):
        # what is about to be used is not removed
        os.utime(job.items / name)
    print("lora-stored " + json.dumps(names[:MAX_LISTED]))


def usage(job: Job) -> None:
    """Prints what the storage keeps."""
    users = users_of_items(job)
    items = [
        {**describe(folder), "id": item_of(folder), "isComplete": folder.name == item_of(folder)}
        for folder in folders_in(job.items)
        if ITEM.fullmatch(item_of(folder))
    ]
    for item in items:
        item["usedBy"] = sorted(users.get(str(item["id"]), set()))[:MAX_LISTED]
    jobs = [{**describe(folder), "job": folder.name} for folder in job_folders(job)]
    print("lora-usage " + json.dumps({"items": items[:MAX_LISTED], "jobs": jobs[:MAX_LISTED]}))


def clean(job: Job) -> None:
    """Removes items that no job uses, and folders of jobs; prints the items that are gone."""
    for folder in job_folders(job):
        if folder.name in job.data["jobs"] and folder.name not in job.data["going"]:
            shutil.rmtree(folder)
    users = users_of_items(job)
    gone = [
        folder
        for folder in folders_in(job.items)
        if item_of(folder) in job.data["remove"] and item_of(folder) not in users
    ]
    for folder in gone:
        shutil.rmtree(folder)
    print("lora-stored " + json.dumps(sorted({item_of(folder) for folder in gone})))


MODES: Dict[str, Callable[[Job], None]] = {"store": store, "usage": usage, "clean": clean}


def users_of_items(job: Job) -> Dict[str, Set[str]]:
    """The jobs that use each item. A job that goes on and does not say what it uses, uses all."""
    users: Dict[str, Set[str]] = {}
    every = {item_of(folder) for folder in folders_in(job.items)}
    going = set(job.data["going"])
    for name in going | {folder.name for folder in job_folders(job)}:
        used = used_by(job.root / "jobs" / name)
        for item in every if not used and name in going else used:
            users.setdefault(item, set()).add(name)
    return users


def used_by(folder: Path) -> Set[str]:
    """What a job has noted; nothing before it has begun."""
    try:
        return set(json.loads((folder / "items.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return set()


def item_of(folder: Path) -> str:
    """The id of an item, also of one that has not arrived in full."""
    name = folder.name
    return name[1:-5] if name.startswith(".") and name.endswith(".part") else name


def job_folders(job: Job) -> List[Path]:
    """The folders of the jobs, the newest first."""
    found = [folder for folder in folders_in(job.root / "jobs") if JOB.fullmatch(folder.name)]
    return sorted(found, reverse=True)


def folders_in(folder: Path) -> List[Path]:
    """The folders in a folder; links are none."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]


def describe(folder: Path) -> Json:
    """How much a folder takes, and when it was used last."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return {"bytes": total, "changed": round(folder.stat().st_mtime * 1000)}
