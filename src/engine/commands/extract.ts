import { extractAdapterFromModel, listTensors } from '../extract/extractAdapterFromModel';
import { namesInShort } from '../../formats/peft/againstBase';
import { defineCommand, form } from './command';
import { derivedOutputOption, resizeOptions, resizeTarget } from './commonOptions';
import type { Extracted } from '../extract/extraction';
import { printResult } from './context';
import { describeRange, percentage } from '../describe';
import { required, withDefault } from './options';
import { anyText } from './optionValues';
import { withProgress } from './progress';
import { countOf } from '../../shared/values';
import { joinLines } from '../report';

/** lora extract. */
export const extractCommand = defineCommand({
  name: 'extract',
  summary: 'Extracts an adapter from a fine-tuned model: the best approximation of its rank.',
  forms: [
    form({
      options: {
        base: required(anyText, 'MODEL', 'model before fine-tuning'),
        tuned: required(anyText, 'MODEL', 'model after fine-tuning'),
        ...resizeOptions,
        output: derivedOutputOption,
        'target-modules': withDefault(
          'all-linear',
          anyText,
          'all-linear|NAME,NAME…',
          'modules to extract',
        ),
      },
      run: async ({ options }, context) => {
        const { base, tuned, output, 'target-modules': targets } = options;
        const extracted = await withProgress(context, ({ show }) =>
          extractAdapterFromModel({
            base,
            tuned,
            output,
            target: resizeTarget(options),
            target_modules: targets === 'all-linear' ? targets : targets.split(','),
            signal: context.signal,
            onProgress: (fraction) => show('extracting', fraction),
          }),
        );
        printResult(context, { output, ...extracted }, () => describeExtracted(output, extracted));
        return 0;
      },
    }),
  ],
});

/** Settings that are listed. */
const MAX_SETTINGS = 5;

function describeExtracted(
  output: string,
  { modules, error, left_out, settings }: Extracted,
): string {
  const ranks = describeRange(modules.map((m) => m.r));
  const lines = [
    `${output}: ${countOf(modules.length, 'module')} of rank ${ranks}, relative error ${percentage(error)} of ‖dW‖`,
  ];
  if (left_out.length > 0) {
    lines.push(
      `Not extracted, because they are not targeted linear layers: ${listTensors(left_out)}`,
    );
  }
  if (settings.length > 0) {
    const named = settings.map(({ name, base, tuned }) => `${name} (${base}, now ${tuned})`);
    lines.push(
      `The models also differ in settings, so base and adapter do not compute what the tuned model computes: ${namesInShort(named, MAX_SETTINGS)}`,
    );
  }
  return joinLines(lines);
}
