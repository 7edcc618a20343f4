import os from 'node:os';
import path from 'node:path';
import { makeFolder } from '../../common/makeFolder';
import { openForAppending } from '../../common/withoutLinks';
import {
  restartEvent,
  scalarsEvent,
  textEvent,
  versionEvent,
} from '../../formats/tensorboard/events';
import { RUN_FILES } from '../../shared/run';
import type { TrackedRun, Tracker } from './tracker';

/**
 * Writes an event file into the run's folder, so that `tensorboard --logdir .lora/runs` shows each
 * run. A resumed run gets another file, which says from which step on the earlier ones are void.
 */
export async function openTensorboard({ record, run_dir, resumed }: TrackedRun): Promise<Tracker> {
  const now = Date.now();
  const folder = path.join(run_dir, RUN_FILES.tensorboard);
  await makeFolder(folder);
  const host = os.hostname().replace(/[^\w-]/g, '_');
  const name = `events.out.tfevents.${Math.floor(now / 1000)}.${host}.${process.pid}.${resumed ?? 0}`;
  const seconds = now / 1000;
  const start = { wall_time: seconds, step: 0 };
  const recipe = `    ${JSON.stringify(record.recipe, null, 2).replaceAll('\n', '\n    ')}`;
  const first =
    resumed === null
      ? textEvent(start, 'recipe', recipe)
      : restartEvent({ wall_time: seconds, step: resumed + 1 });
  const handle = await openForAppending(path.join(folder, name), run_dir);
  try {
    await handle.appendFile(Buffer.concat([versionEvent(seconds), first]));
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    add: ({ step, time, values }) =>
      handle.appendFile(scalarsEvent({ wall_time: time / 1000, step }, values)),
    close: () => handle.close(),
    abandon: () => handle.close(),
  };
}
