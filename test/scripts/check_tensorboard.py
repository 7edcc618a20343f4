"""Reads the event files of a run with TensorBoard: check_tensorboard.py FOLDER (needs tensorboard)."""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"tensors": 0, "scalars": 0})
events.Reload()
tags = events.Tags()
print(
    json.dumps(
        {
            "scalars": {
                tag: [[event.step, event.value] for event in events.Scalars(tag)]
                for tag in tags["scalars"]
            },
            "texts": {
                tag: [event.tensor_proto.string_val[0].decode() for event in events.Tensors(tag)]
                for tag in tags["tensors"]
            },
        }
    )
)
