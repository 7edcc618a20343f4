import type { CommandRegistry } from '../commands/commandRegistry';
import type { AdapterComparison } from '../compare/compareAdapters';
import { COMMANDS } from '../manifest/ids';
import type { PlaygroundPanels } from '../playground/playgroundPanels';
import type { RunStore } from '../runs/runStore';
import type { Jobs } from '../jobs/jobs';

export interface AdapterCommandParts {
  readonly jobs: Jobs;
  readonly store: RunStore;
  readonly comparison: AdapterComparison;
  readonly playgrounds: PlaygroundPanels;
}

/** What can be done with adapters after training. Each is loaded when it is first called. */
export function registerAdapterCommands(
  commands: CommandRegistry,
  { jobs, store, comparison, playgrounds }: AdapterCommandParts,
): void {
  commands.add(COMMANDS.tryAdapter, 'adapter', async (argument, selection) =>
    (await import('../playground/tryAdapter')).tryAdapter(playgrounds, store, argument, selection),
  );
  commands.add(COMMANDS.tryModel, 'base', async (argument) =>
    (await import('../playground/tryModel')).tryModel(playgrounds, store, argument),
  );
  commands.add(COMMANDS.mergeAdapter, 'adapter', async (argument) =>
    (await import('./mergeAdapter')).mergeAdapterCommand(jobs, store, argument),
  );
  commands.add(COMMANDS.compareAdapters, 'adapter', (argument, selection) =>
    comparison.compare(argument, selection),
  );
  commands.add(COMMANDS.selectForCompare, 'adapter', (argument) => comparison.select(argument));
  commands.add(COMMANDS.compareWithSelected, 'adapter', (argument) =>
    comparison.compareWithSelected(argument),
  );
  commands.add(COMMANDS.combineAdapters, 'adapter', async (argument) =>
    (await import('./combineAdapters')).combineAdaptersCommand(jobs, store, argument),
  );
  commands.add(COMMANDS.resizeAdapter, 'adapter', async (argument) =>
    (await import('./resizeAdapter')).resizeAdapterCommand(jobs, store, argument),
  );
  commands.add(COMMANDS.convertAdapter, 'adapter', async (argument) =>
    (await import('./convertAdapter')).convertAdapterCommand(jobs, store, argument),
  );
  commands.add(COMMANDS.extractAdapter, 'adapter', async () =>
    (await import('./extractAdapter')).extractAdapterCommand(jobs),
  );
  commands.add(COMMANDS.unmergeModel, 'base', async (argument) =>
    (await import('./unmergeModel')).unmergeModelCommand(jobs, argument),
  );
}
