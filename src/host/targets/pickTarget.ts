import { LoraError } from '../../shared/errors';
import { COMMANDS } from '../commands/commandTable';
import * as vscode from 'vscode';
import type { Services } from '../services';
import { pick } from '../ui/picker';
import { mayUse } from './consent';
import { choices, type Choice, type Where } from './targetChoices';
import { reportSummary } from './targetReport';

/** What the question says, and whether this machine is a choice. */
export interface WhereQuestion {
  readonly title: string;
  readonly placeholder: string;
  readonly withHere: boolean;
}

type PickServices = Pick<Services, 'targets' | 'targetJobs' | 'errors'>;

/**
 * Asks where to train, or for a target. Each target is asked what it has while the list is shown;
 * one of the workspace only after the user has agreed to it. Undefined: cancelled.
 */
export async function pickWhere(
  services: PickServices,
  question: WhereQuestion,
): Promise<Where | undefined> {
  const { targets, targetJobs, errors } = services;
  const list = await targets.list();
  for (const problem of list.problems) errors.report(problem, 'target');
  const states = new Map<string, string>();
  const picked = await pick<Choice>({
    title: question.title,
    placeholder: question.placeholder,
    first: true,
    isDefault: () => false,
    fill: async (show) => {
      const redraw = () => show(choices(list, states, question.withHere));
      redraw();
      await Promise.all(
        list.targets
          .filter((target) => !targets.mustAsk(target))
          .map(async ({ entry: { name } }) => {
            states.set(name, await targetJobs.check(name).then(reportSummary, faultOf));
            redraw();
          }),
      );
    },
  });
  if (picked.kind !== 'picked') return undefined;
  const { value } = picked;
  if (value.kind === 'here') return value;
  if (value.kind === 'target') return (await mayUse(targets, value.target)) ? value : undefined;
  await vscode.commands.executeCommand(COMMANDS.editTargets.id);
  return undefined;
}

const faultOf = (error: unknown): string => LoraError.from(error, 'target').message;
