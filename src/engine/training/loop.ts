import path from 'node:path';
import type { BatchPiece } from '../../shared/metrics/lines';
import { batchesOf } from '../../data/examples/batchOrder';
import { linesOf, tokensOf } from '../../data/examples/example';
import type { Example } from '../../data/examples/example';
import type { Model } from '../../models/model';
import type { LoraError } from '../../shared/errors';
import { createRandom } from '../../shared/random';
import type { Recipe } from '../../shared/recipe';
import { RUN_FILES } from '../../shared/run';
import { answerPrompt } from '../model/answer';
import { divergenceError } from './divergence';
import { pruneCheckpoints, writeCheckpoint, type TrainingState } from './checkpoint';
import { RunStopped, type Control } from './control';
import type { WorkerEvent } from './messages';
import { isDue, planTraining, stepPosition, type TrainingPlan } from './plans/trainingPlan';
import type { PreparedTraining } from './prepare';
import type { Product, ProductFacts } from './products/product';
import { learningRate } from './schedule';
import { evaluateExamples } from '../tasks/evaluate';
import { batchPieces } from '../tasks/batchPieces';
import { predictionText } from '../tasks/predict';

export interface TrainingLoopParts extends PreparedTraining {
  readonly model: Model;
  readonly product: Product;
  readonly recipe: Recipe;
  readonly run_dir: string;
  readonly control: Control;
  readonly emit: (event: WorkerEvent) => void;
}

/** A batch is shown, not archived. */
const [ROWS_SHOWN, PIECES_SHOWN, PIECE_SHOWN] = [8, 400, 2_000];

/**
 * The loop: batches -> gradients -> step -> metric, with evaluations, samples and checkpoints at
 * their steps.
 */
export class TrainingLoop {
  readonly plan: TrainingPlan;
  private step = 0;
  private elapsed = 0;
  private best: TrainingState['best'] = null;
  private lastLoss: number | null = null;
  private lastEval: { readonly step: number; readonly loss: number } | null = null;
  private savedAt: number | null = null;
  private pending: TrainingState['pending'] = [];

  constructor(private readonly parts: TrainingLoopParts) {
    this.plan = planTraining(parts.data.train.length, parts.recipe.training);
  }

  /** Goes on from a checkpoint; the model has its adapter and optimizer already. */
  restore({ step, elapsed, best, pending }: TrainingState): void {
    this.pending = [...pending];
    this.step = step;
    this.elapsed = elapsed;
    this.best = best;
    this.savedAt = step;
    this.parts.emit({ kind: 'metric', line: { kind: 'resume', step } });
  }

  /** To the last step, or to a stop: both leave a checkpoint and what has been trained. */
  async run(): Promise<'completed' | 'stopped'> {
    const { control, recipe } = this.parts;
    const total = this.plan.total_steps;
    if (this.step === 0 && this.savedAt === null) {
      this.showBatch();
      this.pending = ['evaluate', 'sample'];
    }
    await this.untilStopped(async () => {
      await this.lookBack();
      this.progress('training', this.step / total);
      while (this.step < total && !control.stopped) {
        await this.takeStep();
        const atEnd = this.step === total;
        if (atEnd || isDue(this.step, recipe.training.eval_steps)) this.pending.push('evaluate');
        if (atEnd || isDue(this.step, recipe.samples.sample_steps)) this.pending.push('sample');
        await this.lookBack();
        if (atEnd || isDue(this.step, recipe.training.save_steps)) await this.save();
        this.progress('training', this.step / total);
        await control.answerRequests();
        await control.betweenOperations();
      }
    });
    if (this.savedAt !== this.step) await this.save();
    await this.write(RUN_FILES[this.parts.product.kind]);
    return this.step >= total ? 'completed' : 'stopped';
  }

  /** A stop in the middle of a step drops the step. */
  private async untilStopped(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof RunStopped)) throw error;
    }
  }

  /**
   * What is due after the last step and has not been done yet: a stop may break it off, and then it
   * is done when the run goes on.
   */
  private async lookBack(): Promise<void> {
    for (let next = this.pending[0]; next !== undefined; next = this.pending[0]) {
      if (next === 'evaluate') await this.evaluate();
      else await this.sample();
      this.pending.shift();
    }
  }

  /** Writes a checkpoint now, unless this step has one. Gives its path within the run's folder. */
  async save(): Promise<string> {
    const { model, product, run_dir, emit, recipe } = this.parts;
    this.progress('saving', null);
    const state: TrainingState = {
      version: 1,
      step: this.step,
      elapsed: this.elapsed,
      best: this.best,
      pending: [...this.pending],
    };
    await product.check(this.facts());
    const relative = await writeCheckpoint(run_dir, {
      state,
      optimizer: model.optimizerState(),
      fill: (folder) => product.fillCheckpoint(folder, this.facts()),
    });
    await pruneCheckpoints(run_dir, recipe.training.save_total_limit, this.step);
    this.savedAt = this.step;
    emit({ kind: 'metric', line: { kind: 'checkpoint', step: this.step, path: relative } });
    return relative;
  }

  private async takeStep(): Promise<void> {
    const { model, recipe, data } = this.parts;
    const { training } = recipe;
    const next = this.step + 1;
    const { epoch, batches } = stepPosition(next, this.plan, training.gradient_accumulation_steps);
    const inEpoch = this.batchesOf(epoch);
    const started = this.now();
    let [loss_sum, labelled, tokens] = [0, 0, 0];
    for (const index of batches) {
      const examples = inEpoch[index]!;
      const part = await model.accumulate(
        await data.collate(examples),
        this.dropoutSeed(epoch, index),
      );
      if (!Number.isFinite(part.loss_sum))
        throw diverged(next, examples, recipe.dataset, part.loss_sum);
      loss_sum += part.loss_sum;
      labelled += part.labelled;
      tokens += examples.reduce((sum, e) => sum + tokensOf(e, data.image_length), 0);
      await this.parts.control.betweenOperations();
    }
    const learning_rate = learningRate(training, next, this.plan.total_steps);
    const { grad_norm } = await model.step(labelled, {
      learning_rate,
      weight_decay: training.weight_decay,
      max_grad_norm: training.max_grad_norm,
      loraplus_lr_ratio: training.loraplus_lr_ratio,
    });
    if (!Number.isFinite(grad_norm))
      throw diverged(
        next,
        batches.flatMap((i) => inEpoch[i]!),
        recipe.dataset,
        grad_norm,
      );
    const seconds = (this.now() - started) / 1000;
    this.step = next;
    this.elapsed += seconds;
    this.lastLoss = loss_sum / labelled;
    this.parts.emit({
      kind: 'metric',
      line: {
        kind: 'step',
        step: next,
        epoch: next / this.plan.steps_per_epoch,
        loss: this.lastLoss,
        grad_norm,
        learning_rate,
        tokens,
        labelled_tokens: labelled,
        tokens_per_second: tokens / seconds,
        memory: process.memoryUsage.rss(),
        elapsed: this.elapsed,
      },
    });
  }

  /** Milliseconds, without those of pauses. */
  private now(): number {
    return performance.now() - this.parts.control.pausedMilliseconds;
  }

  private async evaluate(): Promise<void> {
    const { data, emit, recipe, model } = this.parts;
    if (data.validation.length === 0 || this.lastEval?.step === this.step) return;
    this.progress('evaluating', 0);
    const { loss, labelled, scores } = await evaluateExamples(model, data.validation, {
      task: recipe.task,
      labels: data.labels,
      collate: data.collate,
      pairs_per_batch: recipe.training.per_device_train_batch_size,
      onProgress: (fraction) => this.progress('evaluating', fraction),
    });
    if (!Number.isFinite(loss))
      throw divergenceError(
        `The validation loss became ${loss} after step ${this.step}`,
        recipe.validation ?? recipe.dataset,
      );
    this.lastEval = { step: this.step, loss };
    emit({
      kind: 'metric',
      line: {
        kind: 'eval',
        step: this.step,
        loss,
        labelled_tokens: labelled,
        scores,
        elapsed: this.elapsed,
      },
    });
    if (this.step === 0 || (this.best && loss >= this.best.loss)) return;
    this.best = { step: this.step, loss };
    await this.write(RUN_FILES.best);
    emit({ kind: 'best', step: this.step, loss });
  }

  private async sample(): Promise<void> {
    const { recipe, prompts, data, emit } = this.parts;
    if (recipe.samples.sample_steps === 0) return;
    const asked =
      recipe.task === 'causal_lm'
        ? prompts.map((prompt) => ({ prompt, say: () => this.completion(prompt) }))
        : data.sample_rows.map((row) => ({
            prompt: row.text,
            say: () => predictionText(this.parts.model, row, data.labels, data.collate),
          }));
    const said: { prompt: string; completion: string }[] = [];
    for (const [i, { prompt, say }] of asked.entries()) {
      this.progress('sampling', i / asked.length);
      said.push({ prompt, completion: await say() });
    }
    for (const own of said)
      emit({ kind: 'metric', line: { kind: 'sample', step: this.step, ...own } });
  }

  private completion(prompt: string): Promise<string> {
    const { recipe, model } = this.parts;
    const tokenizer = this.parts.tokenizer!;
    return answerPrompt(model, tokenizer, prompt, {
      chat: tokenizer.has_chat_template,
      max_new_tokens: recipe.samples.max_new_tokens,
      temperature: 0,
      seed: recipe.training.seed,
    });
  }

  private async write(name: string): Promise<void> {
    const { product, run_dir } = this.parts;
    await product.check(this.facts());
    await product.write(path.join(run_dir, name), this.facts());
  }

  private facts(): ProductFacts {
    return {
      steps: this.step,
      last_loss: this.lastLoss,
      validation_loss: this.lastEval?.loss ?? null,
    };
  }

  /** What is learnt of the first rows, for people to see. */
  private showBatch(): void {
    const {
      tokenizer,
      data: { labels },
      recipe,
      emit,
    } = this.parts;
    const shorten = (piece: BatchPiece) =>
      piece.text.length > PIECE_SHOWN
        ? { ...piece, text: `${piece.text.slice(0, PIECE_SHOWN)}…` }
        : piece;
    const rows = this.batchesOf(0)[0]!
      .slice(0, ROWS_SHOWN)
      .map((example) => ({
        line: linesOf(example)[0]!,
        pieces: batchPieces(example, recipe.task, tokenizer, labels)
          .slice(0, PIECES_SHOWN)
          .map(shorten),
      }));
    emit({ kind: 'metric', line: { kind: 'batch', step: 0, rows } });
  }

  private cachedEpoch: { readonly epoch: number; readonly batches: Example[][] } | null = null;

  private batchesOf(epoch: number): Example[][] {
    if (this.cachedEpoch?.epoch !== epoch) {
      const { per_device_train_batch_size: batch_size, shuffle, seed } = this.parts.recipe.training;
      this.cachedEpoch = {
        epoch,
        batches: batchesOf(this.parts.data.train, { batch_size, shuffle, seed, epoch }),
      };
    }
    return this.cachedEpoch.batches;
  }

  private dropoutSeed(epoch: number, batch: number): number {
    return Math.floor(
      createRandom(this.parts.recipe.training.seed, 'dropout', epoch, batch)() * 2 ** 31,
    );
  }

  private progress(
    phase: 'training' | 'evaluating' | 'sampling' | 'saving',
    fraction: number | null,
  ): void {
    this.parts.emit({ kind: 'progress', progress: { phase, fraction } });
  }
}

function diverged(
  step: number,
  examples: readonly Example[],
  file: string,
  value: number,
): LoraError {
  return divergenceError(
    `The loss or its gradient became ${value} at step ${step}, in the rows at lines ${examples.flatMap(linesOf).join(', ')}`,
    file,
  );
}
