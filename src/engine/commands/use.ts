import { USE_LABELS, USE_TOOLS, type PreparedUse } from '../../shared/useTools';
import { joinLines } from '../report';
import { isModelName } from '../use/names';
import { useAdapter } from '../use/useAdapter';
import { defineCommand, form } from './command';
import { partialOption } from './commonOptions';
import { printResult } from './context';
import { flag, optional, required } from './options';
import { anyText, folderPath, oneOf } from './optionValues';
import { withProgress } from './progress';

/** lora use. */
export const useCommand = defineCommand({
  name: 'use',
  summary:
    'Writes the files that another program needs to use an adapter, and shows how to start it.',
  forms: [
    form({
      options: {
        in: required(oneOf(USE_TOOLS), USE_TOOLS.join('|'), 'program to use it in'),
        adapter: required(anyText, 'PATH', 'adapter in any of the formats'),
        base: optional(anyText, 'PATH', 'base model (default: the one that the adapter names)'),
        output: optional(
          folderPath,
          'DIR',
          'folder for new files (LM Studio: its models, by default ~/.lmstudio/models)',
        ),
        name: optional(anyText, 'NAME', 'name of the model (default: that of the run or adapter)'),
        merge: flag('merge the adapter into its base'),
        partial: partialOption,
      },
      check: ({ options: { name } }) =>
        name === null || isModelName(name)
          ? null
          : '--name takes 1 to 60 lower-case letters, digits, dots, hyphens and underscores.',
      run: async ({ options }, context) => {
        const result = await withProgress(context, ({ show, warn }) =>
          useAdapter({ ...options, signal: context.signal, warn, onProgress: show }),
        );
        printResult(context, result, () => describe(result));
        return 0;
      },
    }),
  ],
});

function describe({ in: tool, files, commands, lines, notes }: PreparedUse): string {
  return joinLines([
    ...files.map((file) => `Written: ${file}`),
    `Use it in ${USE_LABELS[tool]}:`,
    ...(lines ?? commands.map((command) => JSON.stringify(command))).map((line) => `  ${line}`),
    ...notes,
  ]);
}
