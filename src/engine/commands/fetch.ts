import path from 'node:path';
import { ENDED_STATES } from '../../shared/run';
import { Mirror } from '../remote/mirror';
import { RemoteFile, requireRemote } from '../remote/remoteFile';
import { readRecord, withRunFolder } from '../run/runFolder';
import { RecordFile } from '../training/recordFile';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { withProgress } from './progress';
import { entryOf, started, withTarget } from './remoteTraining';

/** lora fetch: brings once what lora attach would follow. */
export const fetchCommand = defineCommand({
  name: 'fetch',
  summary: 'Copies the files of a run from its target, even while it is running.',
  forms: [
    form({
      positionals: { run: { valueName: 'RUN_DIR', help: 'folder of a run that was sent' } },
      options: {},
      run: async ({ positionals }, context) => fetchRun(path.resolve(positionals.run), context),
    }),
  ],
});

async function fetchRun(dir: string, context: CommandContext): Promise<number> {
  const { signal } = context;
  const written = await requireRemote(dir);
  return withTarget(await entryOf(written), context, (target) =>
    withRunFolder(dir, async () => {
      const remote = new RemoteFile(dir, await started(written, target, signal));
      const record = new RecordFile(dir, await readRecord(dir));
      const { job, handle } = remote.current;
      const mirror = new Mirror(
        { target, handle: { job, values: handle! }, run_dir: dir, signal },
        { record, remote },
        () => undefined,
      );
      await mirror.pull();
      await withProgress(context, ({ show }) =>
        mirror.pullProducts((received, total) =>
          show('fetching', total === 0 ? 1 : received / total),
        ),
      );
      await mirror.recordEnd();
      await remote.update({});
      const { state, result } = record.current;
      printResult(context, { run_dir: dir, state, ...result }, () =>
        ENDED_STATES.has(state)
          ? `The run has ended (${state}), and its files are in ${dir}`
          : `The run is ${state} on ${target.name}; what it has so far is in ${dir}`,
      );
      return 0;
    }),
  );
}
