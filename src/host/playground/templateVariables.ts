import { isInFolder } from '../../common/samePath';
import type { TemplateVariables } from '../../shared/chatVariables';
import type { RunSummary } from '../runs/run';

/** The run whose folder a place is in. */
export const runOf = <Run extends { readonly dir: string }>(
  place: string,
  runs: readonly Run[],
): Run | undefined => runs.find(({ dir }) => isInFolder(place, dir));

/**
 * What the chat template gets where a model answers: the variables of the run that has trained it,
 * so that it sees prompts as in its training. A base that no run has made is compared with its
 * adapters, and gets those of the first one.
 *
 * @param adapter Null: the base alone.
 */
export function variablesFor(
  adapter: string | null,
  { base, adapters }: { readonly base: string; readonly adapters: readonly string[] },
  runs: readonly Pick<RunSummary, 'dir' | 'templateVariables'>[],
): TemplateVariables {
  const ofRun = (place: string | undefined) =>
    place === undefined ? undefined : runOf(place, runs)?.templateVariables;
  return (adapter === null ? (ofRun(base) ?? ofRun(adapters[0])) : ofRun(adapter)) ?? {};
}
