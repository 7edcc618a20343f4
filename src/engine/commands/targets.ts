import { EXPORT_FORMS } from '../../targets/export/exportJob';
import { readTargets, findTarget, targetsFile } from '../../targets/targetList';
import { joinLines } from '../report';
import { describeReport } from '../remote/targetCheck';
import { cleanTarget } from './cleanTarget';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { exportTraining } from './exportTraining';
import { flag, optional, required, withDefault } from './options';
import { byteSize, folderPath, oneOf, positiveWholeNumber, wholeNumber } from './optionValues';
import { placeOf, withTarget } from './remoteTraining';
import { listRunsThere, planSending } from './targetQuestions';

/** lora targets: exit code 1 if the target that is checked lacks something. */
export const targetsCommand = defineCommand({
  name: 'targets',
  summary: 'Lists the machines that runs can be sent to, or checks one.',
  forms: [
    form({
      options: {},
      run: async (_, context) => {
        const file = targetsFile();
        const targets = await readTargets(file);
        const listed = targets.map((entry) => ({
          name: entry.name,
          kind: entry.kind,
          place: placeOf(entry),
        }));
        printResult(context, { file, targets: listed }, () =>
          listed.length === 0
            ? `There are no targets yet. They are described in ${file}, such as [{"name": "gpu-box", "kind": "ssh", "host": "gpu-box"}]`
            : joinLines(listed.map(({ name, kind, place }) => `${name}  ${kind}  ${place}`)),
        );
        return 0;
      },
    }),
    form({
      positionals: {
        action: {
          valueName: 'check|runs|clean',
          help: "show a target's resources or runs, or remove files that no run there uses",
        },
        name: { valueName: 'NAME', help: 'name of the target' },
      },
      options: {
        older: optional(wholeNumber, 'HOURS', 'clean: keep what is newer than this (default: 24)'),
        yes: flag('clean: remove without a question'),
      },
      check: ({ positionals: { action }, options: { older, yes } }) => {
        if (action !== 'clean' && (yes || older !== null))
          return '--older and --yes belong to lora targets clean.';
        return action === 'clean' || Object.hasOwn(ACTIONS, action) ? null : unknown(action);
      },
      run: async ({ positionals: { action, name }, options: { older, yes } }, context) =>
        action === 'clean'
          ? cleanTarget(name, { hours: older ?? 24, isAgreed: yes }, context)
          : ACTIONS[action as keyof typeof ACTIONS](name, context),
    }),
    form({
      positionals: {
        action: { valueName: 'plan', help: 'show what is sent before a recipe is trained there' },
        name: { valueName: 'NAME', help: 'name of the target' },
        recipe: { valueName: 'RECIPE.json', help: 'recipe to train' },
      },
      options: {},
      check: ({ positionals: { action } }) => (action === 'plan' ? null : unknown(action)),
      run: async ({ positionals: { name, recipe } }, context) => planSending(name, recipe, context),
    }),
    form({
      selectedBy: 'as',
      positionals: {
        action: { valueName: 'export', help: 'write the files that train a recipe on a cluster' },
        recipe: { valueName: 'RECIPE.json', help: 'recipe to train' },
      },
      options: {
        as: required(oneOf(EXPORT_FORMS), EXPORT_FORMS.join('|'), 'what starts the job there'),
        output: required(folderPath, 'DIR', 'new folder to write to'),
        cpus: withDefault('4', positiveWholeNumber, 'N', 'the cores that the job gets'),
        memory: withDefault('16GiB', byteSize, 'SIZE', 'the memory that the job gets'),
      },
      check: ({ positionals: { action } }) => (action === 'export' ? null : unknown(action)),
      run: async ({ positionals: { recipe }, options }, context) =>
        exportTraining(recipe, options, context),
    }),
  ],
});

const ACTIONS = { check: checkTarget, runs: listRunsThere } as const;

const unknown = (action: string): string =>
  action === 'export'
    ? '--as is missing.'
    : `lora targets has no action ${JSON.stringify(action)} with these arguments.`;

async function checkTarget(name: string, context: CommandContext): Promise<number> {
  const entry = await findTarget(name);
  const report = await withTarget(entry, context, (target) => target.check(context.signal));
  printResult(context, { name, ...report }, () => joinLines(describeReport(report)));
  return report.missing.length === 0 ? 0 : 1;
}
