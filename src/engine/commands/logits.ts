import { nameInModel } from '../../formats/architecture/modelName';
import { writeSafetensors } from '../../formats/safetensors/write';
import type { TensorToWrite } from '../../formats/tensorWriter';
import type { Spec } from '../../formats/architecture/spec';
import type { LabelledInput, Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import { withModel } from '../model/openModel';
import { listenToStopSignals, REQUESTS_TO_END } from '../stopSignal';
import { defineCommand, form } from './command';
import { adaptersOption, baseOption, partialOption } from './commonOptions';
import { printResult, type CommandContext } from './context';
import { modelInputs, readInputFile, type ModelInputFromFile } from './modelInputs';
import { flag, required } from './options';
import { absolutePath } from './optionValues';

/** lora logits. */
export const logitsCommand = defineCommand({
  name: 'logits',
  summary: 'Writes the logits for given inputs, with labels also the loss and its gradients.',
  endedBySignals: true,
  forms: [
    form({
      options: {
        base: baseOption,
        adapter: adaptersOption,
        input: required(absolutePath, 'FILE', 'inputs: a .json or .safetensors file'),
        output: required(absolutePath, 'FILE.safetensors', 'file to write'),
        partial: partialOption,
        grads: flag('also write the gradient of each adapter tensor; needs labels'),
      },
      run: async (
        { options: { base: basePath, adapter, input, output, partial, grads } },
        context,
      ) => {
        const source = await readInputFile(input);
        if (grads && !source.labels) {
          throw new LoraError('usage', 'Gradients need labels.', { place: { file: input } });
        }
        await withModel(
          { base: basePath, adapters: adapter },
          context,
          { partial },
          async ({ base, model }) => {
            const inputs = modelInputs(source, base.spec);
            const tensors = await logitTensors(model, base.spec, inputs);
            if (inputs.labels) {
              tensors.push(
                ...(await lossTensors(
                  model,
                  base.spec,
                  { ...inputs, labels: inputs.labels },
                  grads,
                )),
              );
            }
            await writeWhole(output, tensors, context);
          },
        );
        printResult(context, { output }, () => output);
        return 0;
      },
    }),
  ],
});

/** Ended only by a second signal: a first one would leave a part of the file. */
async function writeWhole(
  output: string,
  tensors: readonly TensorToWrite[],
  { note }: CommandContext,
): Promise<void> {
  const stop = listenToStopSignals(REQUESTS_TO_END, note);
  try {
    await writeSafetensors(output, tensors);
  } finally {
    stop.release();
  }
}

async function logitTensors(
  model: Model,
  { head }: Spec,
  inputs: ModelInputFromFile,
): Promise<TensorToWrite[]> {
  const { batch, length, images, source } = inputs;
  const data = await model.logits(inputs);
  if (source) return [withoutLast(data, { batch, length })];
  if (images) return [{ name: 'logits', dtype: 'F32', shape: [images.batch, batch], data }];
  const isPerToken = head.kind === 'lm' || (head.kind === 'labels' && head.pool === 'none');
  const rows = isPerToken ? [batch, length] : [batch];
  const width = data.length / rows.reduce((a, b) => a * b, 1);
  const logits: TensorToWrite = { name: 'logits', dtype: 'F32', shape: [...rows, width], data };
  if (head.kind !== 'pooled') return [logits];
  const vectors = await model.hiddenStates(inputs);
  const shape = [batch, length, vectors.length / (batch * length)];
  return [logits, { name: 'last_hidden_state', dtype: 'F32', shape, data: vectors }];
}

/** The logits of a decoder, of which the last position of each row has no label. */
function withoutLast(
  all: Float32Array,
  { batch, length }: Pick<ModelInputFromFile, 'batch' | 'length'>,
): TensorToWrite {
  const width = all.length / (batch * length);
  const data = all.filter((_, i) => Math.floor(i / width) % length < length - 1);
  return { name: 'logits', dtype: 'F32', shape: [batch, length - 1, width], data };
}

const PREFIX = 'base_model.model.';

/** A tensor's name in the adapter's file. */
const nameInFile = (name: string, spec: Spec): string =>
  name.startsWith(PREFIX) ? PREFIX + nameInModel(name.slice(PREFIX.length), spec) : name;

async function lossTensors(
  model: Model,
  spec: Spec,
  inputs: LabelledInput,
  grads: boolean,
): Promise<TensorToWrite[]> {
  const { loss_sum, labelled } = grads
    ? await model.accumulate(inputs, 0)
    : await model.evaluate(inputs);
  const loss = Float32Array.of(loss_sum / labelled);
  const tensors: TensorToWrite[] = [{ name: 'loss', dtype: 'F32', shape: [], data: loss }];
  if (grads) {
    for (const [name, { shape, data }] of await model.gradients(labelled)) {
      tensors.push({ name: `grad.${nameInFile(name, spec)}`, dtype: 'F32', shape, data });
    }
  }
  return tensors;
}
