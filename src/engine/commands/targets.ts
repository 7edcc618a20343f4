import { readTargets, findTarget, targetsFile } from '../../targets/targetList';
import { joinLines } from '../report';
import { describeReport } from '../remote/targetCheck';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { placeOf, withTarget } from './remoteTraining';

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
        action: { valueName: 'check', help: 'connect to a target and show what it has' },
        name: { valueName: 'NAME', help: 'name of the target' },
      },
      options: {},
      check: ({ positionals: { action } }) =>
        action === 'check' ? null : `lora targets has no action ${JSON.stringify(action)}.`,
      run: async ({ positionals }, context) => checkTarget(positionals.name, context),
    }),
  ],
});

async function checkTarget(name: string, context: CommandContext): Promise<number> {
  const entry = await findTarget(name);
  const report = await withTarget(entry, context, (target) => target.check(context.signal));
  printResult(context, { name, ...report }, () => joinLines(describeReport(report)));
  return report.missing.length === 0 ? 0 : 1;
}
