import { dtypeToWrite } from '../../formats/adapterDtype';
import { adapterBytes, detectAdapter } from '../../formats/adapterFormat';
import { resizeFactors, type Resized, type ResizeTarget } from '../../lora/resize';
import { withAdapters } from '../adapters/withAdapters';
import { writeDerivedAdapter } from '../adapters/writeDerivedAdapter';
import { defineCommand, form } from './command';
import {
  adapterBaseOption,
  adapterDtypeOption,
  derivedOutputOption,
  resizeOptions,
  resizeTarget,
} from './commonOptions';
import { printResult } from './context';
import { describeRange, groupDigits, percentage } from '../describe';
import { required } from './options';
import { anyText } from './optionValues';

/** lora resize. */
export const resizeCommand = defineCommand({
  name: 'resize',
  summary: 'Writes the best approximation of an adapter with a smaller rank.',
  forms: [
    form({
      options: {
        adapter: required(anyText, 'DIR', 'adapter'),
        ...resizeOptions,
        output: derivedOutputOption,
        base: adapterBaseOption,
        dtype: adapterDtypeOption,
      },
      run: async ({ options }, context) => {
        const { adapter: folder, output, base: named, dtype } = options;
        const target = resizeTarget(options);
        const resized = await withAdapters([folder], named, context, async ({ adapters, base }) => {
          const result = resizeFactors(adapters[0]!, target);
          await writeDerivedAdapter(
            output,
            { ...result.adapter, dtype: dtypeToWrite(adapters, dtype) },
            {
              sources: [folder],
              title: `resized to ${describeTarget(target)}`,
              base,
              given: [adapters[0]!.config],
            },
          );
          return result;
        });
        const sizes = { before: await weightBytes(folder), after: await weightBytes(output) };
        const { error, modules } = resized;
        const facts = {
          output,
          error,
          modules,
          bytes_before: sizes.before,
          bytes_after: sizes.after,
        };
        printResult(context, facts, () => describeResized(output, resized, sizes));
        return 0;
      },
    }),
  ],
});

/** The size of the files with an adapter's factors. */
const weightBytes = async (adapter: string): Promise<number> =>
  adapterBytes(await detectAdapter(adapter));

function describeTarget(target: ResizeTarget): string {
  switch (target.kind) {
    case 'rank':
      return `rank ${target.rank}`;
    case 'energy':
      return `energy ${target.energy}`;
    case 'error':
      return `error ${target.error}`;
  }
}

function describeResized(
  output: string,
  { error, modules }: Resized,
  bytes: { readonly before: number; readonly after: number },
): string {
  const before = describeRange(modules.map((m) => m.before));
  const after = describeRange(modules.map((m) => m.after));
  const kib = (count: number) => groupDigits(Math.round(count / 1024));
  const loss =
    error === null ? 'the update is zero' : `relative error ${percentage(error)} of ‖dW‖`;
  return `${output}: rank ${before} -> ${after}, ${loss}, ${kib(bytes.before)} -> ${kib(bytes.after)} KiB`;
}
