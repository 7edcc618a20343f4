import {
  combineUpdates,
  COMBINATIONS,
  type Combined,
  type CombineOptions,
} from '../../lora/combine';
import type { Adapter } from '../../lora/adapter';
import { isSameModel } from '../../formats/peft/againstBase';
import { LoraError } from '../../shared/errors';
import { alignNames } from '../../formats/alignNames';
import { dtypeToWrite } from '../../formats/adapterDtype';
import { withAdapters } from '../adapters/withAdapters';
import { writeDerivedAdapter } from '../adapters/writeDerivedAdapter';
import { defineCommand, form } from './command';
import { adapterBaseOption, adapterDtypeOption, derivedOutputOption } from './commonOptions';
import { printResult } from './context';
import { describeRange, percentage } from '../describe';
import { flag, optional, required, requiredList, withDefault } from './options';
import { fraction, numberList, oneOf, positiveWholeNumber, anyText } from './optionValues';
import { countOf } from '../../shared/values';
import { joinLines } from '../report';

/** Below this relative error the combination is exact within the rounding of f32. */
const EXACT = 1e-6;

/** lora combine. */
export const combineCommand = defineCommand({
  name: 'combine',
  summary: 'Combines several adapters of one base into one adapter.',
  forms: [
    form({
      options: {
        adapter: requiredList(anyText, 'DIR', 'adapter; repeat for each'),
        weights: optional(numberList, '0.7,0.3', 'a weight for each adapter (default: all 1)'),
        type: required(oneOf(COMBINATIONS), COMBINATIONS.join('|'), 'how to combine them'),
        output: derivedOutputOption,
        rank: optional(positiveWholeNumber, 'N', 'svd: rank of the result (default: the largest)'),
        density: withDefault('0.5', fraction, 'D', 'ties, magnitude_prune: share of numbers kept'),
        sign: withDefault(
          'total',
          oneOf(['total', 'frequency']),
          'total|frequency',
          'ties: sign with the larger sum, or the more frequent one',
        ),
        peft: flag('linear: combine A and B separately, as PEFT does'),
        base: adapterBaseOption,
        dtype: adapterDtypeOption,
      },
      check: ({ options: { rank, type } }) =>
        rank !== null && type !== 'svd' ? '--rank needs --type svd.' : null,
      run: async ({ options }, context) => {
        const { adapter: folders, output, type } = options;
        const settings: CombineOptions = {
          type,
          weights: options.weights ?? folders.map(() => 1),
          rank: options.rank,
          density: options.density,
          majority_sign_method: options.sign,
          peft: options.peft,
        };
        const combined = await withAdapters(
          folders,
          options.base,
          context,
          async ({ adapters: read, base }) => {
            const adapters = alignNames(read, folders);
            warnOfBases(adapters, context.warn);
            const result = combineOrRefuse(adapters, settings, folders[0]!);
            const dtype = dtypeToWrite(adapters, options.dtype);
            await writeDerivedAdapter(
              output,
              { ...result.adapter, dtype },
              {
                sources: folders,
                title: `${type} of ${folders.length} with the weights ${settings.weights.join(', ')}`,
                base,
                given: adapters.map(({ config }) => config),
              },
            );
            return result;
          },
        );
        const { error, errors, adapter, sum } = combined;
        const facts = {
          output,
          sum,
          error,
          errors: Object.fromEntries(errors),
          ranks: Object.fromEntries(adapter.modules.map((m) => [m.path, m.r])),
        };
        printResult(context, facts, () => describeCombined(output, combined));
        return 0;
      },
    }),
  ],
});

/** Names the bases of adapters that were made for different ones. */
function warnOfBases(adapters: readonly Adapter[], warn: (message: string) => void): void {
  const names = adapters.flatMap(({ config }) => config.base_model_name_or_path ?? []);
  const others = names.filter((own) => !isSameModel(own, names[0]!));
  if (others.length > 0) {
    const all = [...new Set([names[0]!, ...others])].join(', ');
    warn(`The adapters were made for different bases: ${all}.`);
  }
}

function combineOrRefuse(
  adapters: Parameters<typeof combineUpdates>[0],
  settings: CombineOptions,
  folder: string,
): Combined {
  try {
    return combineUpdates(adapters, settings);
  } catch (error) {
    if (error instanceof RangeError) {
      throw new LoraError('adapter', error.message, { place: { file: folder }, cause: error });
    }
    throw error;
  }
}

const WITHOUT_EFFECT = {
  zero: 'The weighted updates are all zero, so the result changes nothing.',
  cancelled: 'The weighted updates cancel each other, so the result changes nothing.',
};

function describeCombined(output: string, { adapter, error, errors, sum }: Combined): string {
  const { modules } = adapter;
  const ranks = describeRange(modules.map((m) => m.r));
  return joinLines([
    `${output}: ${countOf(modules.length, 'module')} of rank ${ranks}`,
    sum === 'some' ? describeError(error!, errors) : WITHOUT_EFFECT[sum],
  ]);
}

function describeError(error: number, errors: Combined['errors']): string {
  if (error < EXACT) {
    return 'The result equals the weighted sum of the updates.';
  }
  const [worst] = [...errors].sort(([, a], [, b]) => b - a);
  const where = worst && worst[1] > 0 ? `, largest in ${worst[0]} (${percentage(worst[1])})` : '';
  return `Relative error against the weighted sum of the updates: ${percentage(error)}${where}`;
}
