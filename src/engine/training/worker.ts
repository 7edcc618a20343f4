/**
 * The thread that holds libtensorflow, the model and the optimizer: their calls block, the main
 * thread's do not.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import { AdapterProduct } from './products/adapterProduct';
import { answerPrompt, type AnswerOptions } from '../model/answer';
import { checkpointFolder, readState } from './checkpoint';
import { Control } from './control';
import { loadForTraining } from './load';
import { machineOf } from '../model/machine';
import type { TrainJob, WorkerEvent } from './messages';
import { createOps } from '../model/backend';
import { ModelProduct } from './products/modelProduct';
import { prepareTraining, type PreparedTraining } from './prepare';
import { TrainingLoop } from './loop';

const port = parentPort;
if (!port) throw new Error("This file is the engine's worker thread; cli.js starts it.");
const emit = (event: WorkerEvent) => port.postMessage(event);
const info = (message: string) => emit({ kind: 'log', level: 'info', message });
const warn = (message: string) => emit({ kind: 'log', level: 'warn', message });

async function train(job: TrainJob): Promise<void> {
  const { recipe, run_dir, dist } = job;
  const control = new Control(port!);
  const progress = (phase: 'reading data' | 'loading model') => (fraction: number) =>
    emit({ kind: 'progress', progress: { phase, fraction } });
  progress('reading data')(0);
  const prepared = await prepareTraining(recipe, run_dir, new Date(job.created), {
    info,
    warn,
    onData: progress('reading data'),
    planned: job.step_plan,
    machine: await machineOf(job.runtime),
  });
  try {
    const checkpoint = job.resume_from === null ? null : checkpointFolder(run_dir, job.resume_from);
    const ops = await createOps(job.runtime, dist);
    const model = await loadForTraining(prepared, recipe, checkpoint, {
      ops,
      onProgress: progress('loading model'),
    });
    ops.yieldPoint = () => control.betweenOperations();
    const product =
      recipe.training.method === 'full'
        ? new ModelProduct(prepared, recipe, model)
        : new AdapterProduct(prepared, recipe, model);
    const trainer = new TrainingLoop({
      ...prepared,
      model,
      product,
      recipe,
      run_dir,
      control,
      emit,
    });
    emit({
      kind: 'facts',
      facts: factsOf(
        prepared,
        model.architecture,
        model.trainable_parameters,
        trainer.plan.total_steps,
        ops.name,
      ),
    });
    control.onRequest((request) =>
      request.kind === 'checkpoint'
        ? trainer.save().then((path) => ({ path }))
        : generated(model, prepared, request.params.prompt, {
            ...request.params,
            seed: recipe.training.seed,
          }),
    );
    if (checkpoint !== null) trainer.restore(await readState(checkpoint));
    emit({ kind: 'state', state: 'running' });
    const state = await trainer.run();
    await control.answerRequests();
    model.dispose();
    emit({ kind: 'done', state, product: product.kind });
  } finally {
    await prepared.base.close();
  }
}

async function generated(
  model: Model,
  { tokenizer, base }: PreparedTraining,
  prompt: string,
  options: AnswerOptions,
): Promise<{ readonly text: string }> {
  if (!tokenizer || base.spec.head.kind !== 'lm')
    throw new LoraError('usage', `A model for the task ${base.spec.task} writes no text.`);
  return { text: await answerPrompt(model, tokenizer, prompt, options) };
}

function factsOf(
  { base, data, step_plan }: PreparedTraining,
  architecture: string,
  trainable_parameters: number,
  total_steps: number,
  device: string,
) {
  const { train: t, validation: v } = data.statistics;
  return {
    base: { name: base.name, architecture, parameters: base.parameters },
    weight_files: base.weight_files,
    data: {
      examples: t.examples,
      validation_examples: v.examples,
      tokens: t.tokens,
      labelled_tokens: t.labelled_tokens,
      fingerprint: data.fingerprint,
    },
    step_plan,
    trainable_parameters,
    total_steps,
    device,
  };
}

train(workerData as TrainJob)
  .catch((error: unknown) =>
    emit({ kind: 'failed', error: LoraError.from(error, 'run').serialize() }),
  )
  .finally(() => port.close());
