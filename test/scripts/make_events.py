"""Writes an event file as TensorBoard does: python test/scripts/make_events.py (needs tensorboard)."""

import pathlib

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "trackers" / "events.out.tfevents.1.host"
PLUGIN = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))


def tensor(value):
    return TensorProto(dtype=1, float_val=[value])


with open(OUT, "wb") as file:
    writer = RecordWriter(file)

    def add(**fields):
        writer.write(Event(**fields).SerializeToString())

    add(wall_time=1000.0, file_version="brain.Event:2")
    for step in range(1, 6):
        values = [Summary.Value(tag="train/loss", simple_value=3.0 / step)]
        if step % 2 == 0:
            values.append(
                Summary.Value(tag="eval/loss", metadata=PLUGIN, tensor=tensor(4.0 / step))
            )
        add(wall_time=1000.0 + step, step=step, summary=Summary(value=values))
    add(wall_time=1010.0, step=4, session_log=SessionLog(status=SessionLog.START))
    add(
        wall_time=1011.0,
        step=4,
        summary=Summary(value=[Summary.Value(tag="train/loss", simple_value=0.5)]),
    )
    writer.flush()

print(OUT, masked_crc32c(b"123456789"))
