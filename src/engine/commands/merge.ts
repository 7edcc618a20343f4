import path from 'node:path';
import { isLayersModelPath } from '../../formats/layersModel/file';
import { LoraError } from '../../shared/errors';
import { CERTIFICATE, certificateName, isModelFile, type Certificate } from '../merge/certificate';
import { MERGE_DTYPES } from '../merge/form';
import { layersChoice } from '../layersModel/merge';
import { mergeChoices, type MergeChoice } from '../merge/mergeChoices';
import { mergeModel } from '../merge/mergeModel';
import { verifyMerge, type VerifiedFile } from '../merge/verify';
import { createOps, findMergeKernel } from '../model/backend';
import { useRuntime } from '../useRuntime';
import { defineCommand, form } from './command';
import {
  mergeBaseOption,
  partialOption,
  quantizeOption,
  quantizeOptions,
  refuseQuantizedLayers,
} from './commonOptions';
import { printResult } from './context';
import { groupDigits, percentage } from '../describe';
import { mergeIntoLayers } from './layersModel';
import { flag, optional, required, requiredList, withDefault } from './options';
import { absolutePath, byteSize, nonZeroNumber, oneOf, anyText } from './optionValues';
import { withProgress } from './progress';
import { formatSize } from '../../common/formatSize';
import type { MergeSizes } from '../../shared/mergeFacts';
import { countOf } from '../../shared/values';
import { joinLines } from '../report';

const DTYPES = ['keep', ...typedKeys(MERGE_DTYPES)] as const;

/** lora merge. */
export const mergeCommand = defineCommand({
  name: 'merge',
  summary: 'Merges adapters into their base and writes the result as a standalone model.',
  forms: [
    form({
      options: {
        base: mergeBaseOption,
        adapter: requiredList(anyText, 'DIR', 'adapter; repeat to merge several'),
        output: required(absolutePath, 'PATH', 'new model: a folder, a .gguf or .safetensors file'),
        scale: withDefault('1', nonZeroNumber, 'S', 'factor for the updates'),
        dtype: withDefault('keep', oneOf(DTYPES), DTYPES.join('|'), 'dtype of the weights'),
        quantize: {
          ...quantizeOption,
          help: 'merge into the values that training.quantize gives the base',
        },
        'max-shard-size': optional(
          byteSize,
          'SIZE',
          "largest weight file, such as 5GB (default: the base's files)",
        ),
        partial: partialOption,
        'no-parity': flag('do not compare the merged model with base and adapter'),
      },
      run: async ({ options }, context) => {
        const { output, base, adapter: adapters, scale, dtype } = options;
        if (isLayersModelPath(base)) {
          const max_shard_size = options['max-shard-size'];
          refuseForLayers(dtype, output);
          refuseQuantizedLayers(options.quantize);
          const merge = { base, adapters, output, scale, max_shard_size };
          await mergeIntoLayers(merge, context, !options['no-parity']);
          return 0;
        }
        const certificate = await withProgress(context, ({ show, warn }) =>
          mergeModel({
            base: options.base,
            adapters: options.adapter,
            output,
            scale: options.scale,
            partial: options.partial,
            dtype: options.dtype,
            quantize: quantizeOptions(options.quantize),
            max_shard_size: options['max-shard-size'],
            ops: options['no-parity']
              ? null
              : async () => createOps(await useRuntime(context), context.dist),
            kernel: () => findMergeKernel(context),
            signal: context.signal,
            warn,
            onProgress: show,
          }),
        );
        const memory = 1024 * process.resourceUsage().maxRSS;
        printResult(context, { output, memory, ...certificate }, () =>
          describeMerge(output, certificate),
        );
        return 0;
      },
    }),
    form({
      selectedBy: 'sizes',
      options: {
        sizes: flag('show how large the merged model would be; write nothing'),
        base: mergeBaseOption,
        adapter: requiredList(anyText, 'DIR', 'adapter; repeat to merge several'),
        partial: partialOption,
      },
      run: async ({ options }, context) => {
        const { base, adapter: adapters } = options;
        const choices = await withProgress(context, ({ warn }) =>
          isLayersModelPath(base)
            ? layersChoice({ base, adapters }).then((choice) => [choice])
            : mergeChoices({
                base: options.base,
                adapters: options.adapter,
                partial: options.partial,
                warn,
              }),
        );
        printResult(context, { choices }, () => joinLines(choices.map(describeChoice)));
        return 0;
      },
    }),
    form({
      selectedBy: 'verify',
      options: {
        verify: required(
          absolutePath,
          'PATH',
          'check a merged model and its inputs against its certificate',
        ),
      },
      run: async ({ options }, context) => {
        const { outputs, inputs } = await verifyMerge(options.verify, context.signal);
        const isUnchanged = outputs.every(({ state }) => state === 'same');
        printResult(context, { whole: isUnchanged, outputs, inputs }, () =>
          joinLines([
            'Merged model:',
            ...outputs.map(describeVerified),
            'Inputs:',
            ...inputs.map(describeVerified),
          ]),
        );
        return isUnchanged ? 0 : 1;
      },
    }),
  ],
});

/** @throws LoraError('usage') for what a layers model cannot be written as */
function refuseForLayers(dtype: string, output: string): void {
  const isFile = /\.(?:gguf|json)$/i.test(output);
  if (dtype === 'keep' && !isFile) return;
  throw new LoraError(
    'usage',
    isFile
      ? 'A layers model is written into a folder, as model.json and its shards.'
      : 'A layers model keeps its weights; those that change are float32.',
    { fix: isFile ? 'Name a new folder as the output.' : 'Leave out --dtype.' },
  );
}

function typedKeys<T extends object>(object: T): readonly (keyof T & string)[] {
  return Object.keys(object) as (keyof T & string)[];
}

const describeVerified = ({ file, state }: VerifiedFile): string => `  ${state.padEnd(8)} ${file}`;

function describeMerge(output: string, certificate: Certificate): string {
  const { tensors, parity, weights, untied } = certificate;
  const rounding = Math.max(0, ...tensors.map((tensor) => tensor.rounding_error));
  const unmoved = tensors.reduce((sum, tensor) => sum + tensor.unmoved, 0);
  const elements = tensors.reduce((sum, tensor) => sum + tensor.elements, 0);
  const lines = [
    `${output}: ${describeSizes(certificate.sizes)}`,
    ` ${countOf(tensors.length, 'tensor')} merged, largest rounding error ${rounding.toExponential(1)}, ${groupDigits(unmoved)} of ${groupDigits(elements)} elements unchanged after rounding`,
  ];
  if (untied) {
    lines.push(
      'The output layer is no longer tied to the embedding: the adapter changes only one of them.',
    );
  }
  const certificateFile = isModelFile(output)
    ? certificateName(path.basename(output))
    : CERTIFICATE;
  lines.push(
    weights ? describeWeights(weights) : describeParity(parity),
    `${certificateFile} records how it was made; lora merge --verify checks it.`,
  );
  return joinLines(lines);
}

const describeChoice = (choice: MergeChoice): string =>
  `${choice.form === 'folder' ? 'folder' : `.${choice.form} file`}, --dtype ${choice.dtype}: ${describeSizes(choice)}`;

/** "258 MB, the base 103 MB (210 tensors Q4_1 -> F16)" */
function describeSizes({ bytes, base_bytes, stored }: MergeSizes): string {
  const changed = stored
    .filter(({ from, to }) => from !== to)
    .map(({ from, to, tensors }) => `${countOf(tensors, 'tensor')} ${from ?? 'new'} -> ${to}`);
  const types = changed.length === 0 ? '' : ` (${changed.join(', ')})`;
  return `${formatSize(bytes)}, the base ${formatSize(base_bytes)}${types}`;
}

function describeWeights(weights: NonNullable<Certificate['weights']>): string {
  const { rows, elements, largest_gap, rms_gap } = weights;
  return `The model was not run. Its weights, ${groupDigits(elements)} in ${groupDigits(rows)} rows read again, differ from W + dW by at most ${largest_gap.toExponential(1)}, ${rms_gap.toExponential(1)} in the root mean square (rounding).`;
}

function describeParity(parity: Certificate['parity']): string {
  if (parity === null) {
    return 'Parity was not measured.';
  }
  const { prompts, largest_gap, largest_logit, top1_agreement } = parity;
  return `Base + adapter and merged model on ${countOf(prompts, 'prompt')}: logits differ by at most ${largest_gap.toExponential(1)} (largest logit ${largest_logit.toFixed(1)}), same most likely token at ${percentage(top1_agreement, 1)} of the positions`;
}
