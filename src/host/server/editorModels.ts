import { baseOnDisk } from '../../formats/hub/baseOnDisk';
import { hostEnvironment } from '../engine/hostEnvironment';
import type { RunStore } from '../runs/runStore';
import type { RuntimeService } from '../runtime/runtimeService';
import { t } from '../text/l10n';
import { withStatus } from '../ui/progress';
import { ModelServer } from './modelServer';
import { writersOf, type Writer } from './writers';

/** The process that answers for the editor. */
export const modelServer = (cli: string, runtime: RuntimeService): ModelServer =>
  new ModelServer({
    node: process.execPath,
    cli,
    env: async () => {
      const own = await runtime.ensure();
      return own && { ...hostEnvironment(), ...own };
    },
    onLoad: (loaded) =>
      void withStatus(t('Loading the model'), async () => {
        await loaded;
      }),
  });

/** The models of the workspace that write text, as the newest runs are. */
export async function writersIn(store: RunStore): Promise<readonly Writer[]> {
  await store.refresh();
  return writersOf({
    runs: store.runs,
    record: (dir) => store.record(dir),
    baseOf: (adapter) => baseOnDisk(adapter, null),
  });
}
