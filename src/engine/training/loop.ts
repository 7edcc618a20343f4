import path from 'node:path';
import { tokensOf, type Example } from '../../data/examples/example';
import { labelsIn } from '../../data/examples/tokenizeRows';
import { addCounts, expertScores } from '../../models/layers/expertCounts';
import { sideBySide } from '../../data/examples/sideBySide';
import type { LabelledInput, TrainedModel } from '../../models/model';
import { describeDataset } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import type { ComparedScores, SampleLine, Scores, SourceLoss } from '../../shared/metrics/lines';
import { createRandom } from '../../shared/random';
import type { Recipe } from '../../shared/recipe';
import { RUN_FILES, type StoppedEarly } from '../../shared/run';
import type { ComparedTraining } from '../comparisons/comparedTraining';
import { ComparisonTotals } from '../comparisons/totals';
import type { DistilledTraining } from '../distillation/distilledTraining';
import { evaluateCompared, evaluateExamples, type EvaluationResult } from '../tasks/evaluate';
import {
  checkpointSteps,
  pruneCheckpoints,
  writeCheckpoint,
  type TrainingState,
} from './checkpoint';
import { BestTracker } from './bestTracker';
import { RunStopped, type Control } from './control';
import { describeStep, divergenceError } from './divergence';
import { EpochBatches } from './epochBatches';
import { firstBatchLine } from './firstBatch';
import type { WorkerEvent } from './messages';
import { isDue, planTraining, stepPosition, type TrainingPlan } from '../../shared/trainingPlan';
import type { PreparedTraining } from './prepare';
import type { Product, ProductFacts } from './products/product';
import type { SampleJob } from './samples';
import { learningRate } from './schedule';

/** What the loop works with. The caller disposes of the model. */
export interface TrainingLoopParts extends Pick<PreparedTraining, 'tokenizer'> {
  readonly data: TrainedData;
  readonly model: TrainedModel;
  /** What the model answers at rounds of samples. */
  readonly sampleJobs: () => readonly SampleJob[];
  /** Scores of an evaluation beside those of the validation set, from answers of the model. */
  readonly answerScores: (onAnswer: (fraction: number) => void) => Promise<Scores>;
  readonly product: Product;
  /** Null: the answers are learned, not compared. */
  readonly compared: ComparedTraining | null;
  /** Null: there is no teacher. */
  readonly distilled: DistilledTraining | null;
  readonly recipe: Recipe;
  readonly run_dir: string;
  readonly control: Control;
  readonly emit: (event: WorkerEvent) => void;
  /** Called after each checkpoint. */
  readonly onSave: () => Promise<void>;
}

/** What the loop needs of the data. */
export type TrainedData = Pick<
  PreparedTraining['data'],
  'train' | 'trainIn' | 'validation' | 'sources' | 'labels' | 'collate' | 'image_length'
>;

/** Sums over the batches of one step. */
interface StepTotals {
  readonly loss_sum: number;
  /** Of the labels, pairs or rows: the loss is their weighted mean. */
  readonly weight: number;
  readonly tokens: number;
  readonly labelled_tokens: number;
  readonly scores: ComparedScores;
}

/**
 * The training loop: batches, gradients, optimizer step, metric; with evaluations, samples and
 * checkpoints at the steps that the recipe names.
 */
export class TrainingLoop {
  readonly plan: TrainingPlan;
  private readonly batches: EpochBatches;
  /** The last completed step; 0 before the first. */
  private step = 0;
  /** Seconds of training, without pauses. */
  private elapsed = 0;
  private readonly best: BestTracker;
  private lastLoss: number | null = null;
  private lastEvaluation: { readonly step: number; readonly loss: number } | null = null;
  private savedStep: number | null = null;
  /** Work that is due after the last step and has not been done yet. */
  private pending: TrainingState['pending'] = [];

  constructor(private readonly parts: TrainingLoopParts) {
    const { data, recipe } = parts;
    this.plan = planTraining(data.train.length, recipe.training);
    const isUnpaired = parts.compared?.comparisons.objective.method === 'kto';
    this.batches = new EpochBatches(data.trainIn, recipe.training, isUnpaired);
    this.best = new BestTracker(recipe.training);
  }

  /** Continues from a checkpoint; the model must have its weights and optimizer state already. */
  restore(state: TrainingState): void {
    const { step, elapsed, best, pending, last_loss, last_evaluation } = state;
    this.pending = [...pending];
    this.step = step;
    this.elapsed = elapsed;
    this.best.restore(
      best && { ...best, value: best.value ?? best.loss },
      state.without_improvement,
    );
    this.lastLoss = last_loss;
    this.lastEvaluation = last_evaluation;
    this.savedStep = step;
    this.parts.emit({ kind: 'metric', line: { kind: 'resume', step } });
  }

  /**
   * Trains until the last step or a stop. Both leave a checkpoint and the product, unless no step
   * was taken.
   *
   * @throws LoraError('run') when the training diverges, LoraError('disk')
   */
  async run(): Promise<'completed' | 'stopped'> {
    if (this.step === 0 && this.savedStep === null) {
      this.showFirstBatch();
      this.pending = ['evaluate', 'sample'];
    }
    try {
      await this.takeSteps();
    } catch (error) {
      // a stop in the middle of a step drops that step
      if (!(error instanceof RunStopped)) throw error;
    }
    if (this.parts.control.stopped) this.parts.emit({ kind: 'stopping' });
    if (this.hasTrained) {
      if (this.savedStep !== this.step) await this.save();
      await this.writeProduct(RUN_FILES[this.parts.product.kind]);
    }
    return this.isOver() ? 'completed' : 'stopped';
  }

  /** Why the training ended before its last step; null: it did not. */
  get stopped_early(): StoppedEarly | null {
    const { metric_for_best_model, early_stopping_patience } = this.parts.recipe.training;
    return this.isOver() && this.step < this.plan.total_steps
      ? { patience: early_stopping_patience!, metric: metric_for_best_model }
      : null;
  }

  /** Whether the last step was taken, and what is due after it was done. */
  private isOver(): boolean {
    return this.step >= this.plan.total_steps || (this.best.isOver && this.pending.length === 0);
  }

  /** Whether a step was taken, in this process or before. */
  get hasTrained(): boolean {
    return this.step > 0;
  }

  /** Writes a checkpoint of the last step. Returns its path relative to the run's folder. */
  async save(): Promise<string> {
    const { model, product, run_dir, emit, recipe } = this.parts;
    this.reportProgress('saving', null);
    const state: TrainingState = {
      version: 1,
      step: this.step,
      elapsed: this.elapsed,
      best: this.best.best,
      without_improvement: this.best.withoutImprovement,
      pending: [...this.pending],
      last_loss: this.lastLoss,
      last_evaluation: this.lastEvaluation,
    };
    await this.checkFinite();
    const relative = await writeCheckpoint(run_dir, {
      state,
      optimizer: model.optimizerState(),
      fill: (folder) => product.fillCheckpoint(folder, this.productFacts()),
    });
    await pruneCheckpoints(run_dir, recipe.training.save_total_limit, this.step);
    this.savedStep = this.step;
    emit({ kind: 'metric', line: { kind: 'checkpoint', step: this.step, path: relative } });
    await this.parts.onSave();
    return relative;
  }

  /** As `save`, between two steps. */
  async saveBetweenSteps(): Promise<string> {
    const relative = await this.save();
    this.reportProgress('training', this.step / this.plan.total_steps);
    return relative;
  }

  /** @throws RunStopped in the middle of a step */
  private async takeSteps(): Promise<void> {
    const { control, recipe } = this.parts;
    const total = this.plan.total_steps;
    await this.runPending();
    this.reportProgress('training', this.step / total);
    while (!this.isOver() && !control.stopped) {
      await this.takeStep();
      const isLast = this.step === total;
      if (isLast || isDue(this.step, recipe.training.eval_steps)) this.pending.push('evaluate');
      if (isLast || isDue(this.step, recipe.samples.sample_steps)) this.pending.push('sample');
      await this.runPending();
      if (this.isOver() || isDue(this.step, recipe.training.save_steps)) await this.save();
      this.reportProgress('training', this.step / total);
      await control.answerRequests();
      await control.betweenOperations();
    }
  }

  /** What a stop interrupts here stays pending, and is done when the run is resumed. */
  private async runPending(): Promise<void> {
    for (let next = this.pending[0]; next !== undefined; next = this.pending[0]) {
      if (next === 'sample') await this.sample();
      else {
        await this.evaluate();
        // the last step is sampled, whatever ends the training
        if (this.best.isOver && !this.pending.includes('sample')) this.pending.push('sample');
      }
      this.pending.shift();
      // a checkpoint saved before still lists this as pending: save another at the end
      this.savedStep = null;
    }
  }

  /**
   * A range test: takes a step at each of the rates, until a stop or until the loss is no number.
   * Evaluates once before, and writes nothing.
   */
  async takeStepsAt(rates: readonly number[]): Promise<void> {
    const { control } = this.parts;
    try {
      await this.evaluate();
      for (const rate of rates) {
        if (control.stopped) return;
        await this.takeStep(rate);
        await control.betweenOperations();
      }
    } catch (error) {
      if (error instanceof RunStopped) return;
      // at a high rate that is a result
      if (!(error instanceof LoraError && error.area === 'run')) throw error;
    }
  }

  private async takeStep(rate?: number): Promise<void> {
    const { model, recipe } = this.parts;
    const { training } = recipe;
    const step = this.step + 1;
    const started = this.now();
    const totals = await this.accumulateGradients(step);
    const { loss_sum, weight, tokens } = totals;
    const learning_rate = rate ?? learningRate(training, step, this.plan.total_steps);
    const { grad_norm } = await model.step(weight, {
      learning_rate,
      weight_decay: training.weight_decay,
      max_grad_norm: training.max_grad_norm,
      loraplus_lr_ratio: training.loraplus_lr_ratio,
    });
    if (!Number.isFinite(grad_norm)) {
      const examples = this.batchesOf(step).flatMap(({ examples }) => examples);
      throw await this.diverged(describeStep(step, grad_norm, examples));
    }
    const seconds = (this.now() - started) / 1000;
    this.step = step;
    this.elapsed += seconds;
    this.lastLoss = loss_sum / weight;
    this.parts.emit({
      kind: 'metric',
      line: {
        kind: 'step',
        step,
        epoch: step / this.plan.steps_per_epoch,
        loss: this.lastLoss,
        grad_norm,
        learning_rate,
        tokens,
        labelled_tokens: totals.labelled_tokens,
        tokens_per_second: tokens / seconds,
        memory: process.memoryUsage.rss(),
        elapsed: this.elapsed,
        ...totals.scores,
      },
    });
  }

  private async accumulateGradients(step: number): Promise<StepTotals> {
    const { model, data, control, compared, distilled } = this.parts;
    let [loss_sum, weight, tokens, labelled_tokens, divergence] = [0, 0, 0, 0, 0];
    const totals = new ComparisonTotals();
    let counts: readonly Float64Array[] = [];
    for (const { indices, examples, dropout_seed } of this.batchesOf(step)) {
      const input = await this.inputOf(indices, examples);
      const part = await model.accumulate(input, dropout_seed);
      if (!Number.isFinite(part.loss_sum))
        throw await this.diverged(describeStep(step, part.loss_sum, examples));
      loss_sum += part.loss_sum;
      weight += part.weight;
      divergence += part.divergence_sum ?? 0;
      counts = addCounts(counts, part.expert_counts ?? []);
      if (!compared) labelled_tokens += part.labelled;
      if (input.comparison && part.compared) totals.add(input.comparison, part.compared);
      for (const example of examples) {
        tokens += tokensOf(example, data.image_length);
        if (compared) labelled_tokens += labelsIn(example);
      }
      await control.betweenOperations();
    }
    const taught = distilled && { teacher_kl: divergence / weight };
    const scores = { ...totals.scores(), ...taught, ...expertScores(counts) };
    return { loss_sum, weight, tokens, labelled_tokens, scores };
  }

  /** A batch of the training set with all that its loss depends on. */
  private inputOf(indices: readonly number[], own: readonly Example[]): Promise<LabelledInput> {
    const { data, compared, distilled, model } = this.parts;
    if (compared) return compared.comparisons.batch(compared.train, indices);
    if (distilled) return distilled.batch('train', indices);
    return data.collate(model.joinsRows ? sideBySide(own) : own);
  }

  /** The batches of a step (from 1), with the seeds of their dropout. */
  private batchesOf(step: number) {
    const { gradient_accumulation_steps, seed } = this.parts.recipe.training;
    const { epoch, batches } = stepPosition(step, this.plan, gradient_accumulation_steps);
    const inEpoch = this.batches.of(epoch);
    return batches.map((index) => ({
      indices: inEpoch[index]!,
      examples: this.examplesAt(inEpoch[index]!, epoch),
      dropout_seed: Math.floor(createRandom(seed, 'dropout', epoch, index)() * 2 ** 31),
    }));
  }

  private examplesAt(indices: readonly number[], epoch: number): Example[] {
    const examples = this.parts.data.trainIn(epoch);
    return indices.map((index) => examples.at(index));
  }

  /** Milliseconds, without those of pauses. */
  private now(): number {
    return performance.now() - this.parts.control.pausedMilliseconds;
  }

  private async evaluate(): Promise<void> {
    const { data, emit, recipe } = this.parts;
    if (data.validation.length === 0 || this.lastEvaluation?.step === this.step) return;
    this.reportProgress('evaluating', 0);
    const { loss, labelled, scores: own } = await this.evaluateValidation();
    if (!Number.isFinite(loss))
      throw await this.diverged(
        `The validation loss became ${loss} after step ${this.step}`,
        recipe.validation ?? describeDataset(recipe.dataset),
      );
    const onAnswer = (fraction: number) => this.reportProgress('sampling', fraction);
    const scores = { ...own, ...(await this.parts.answerScores(onAnswer)) };
    this.lastEvaluation = { step: this.step, loss };
    emit({
      kind: 'metric',
      line: {
        kind: 'eval',
        step: this.step,
        loss,
        labelled_tokens: labelled,
        scores,
        ...(await this.sourceLosses()),
        elapsed: this.elapsed,
      },
    });
    if (this.step === 0 || !this.best.add({ step: this.step, loss, scores })) return;
    this.reportProgress('saving', null);
    await this.writeProduct(RUN_FILES.best);
    const { metric_for_best_model: name } = recipe.training;
    const metric = name === 'loss' ? null : { name, value: this.best.best?.value ?? NaN };
    emit({ kind: 'best', step: this.step, loss, metric });
  }

  private evaluateValidation(): Promise<EvaluationResult> {
    const { model, data, recipe, compared, distilled } = this.parts;
    const onProgress = (fraction: number) => this.reportProgress('evaluating', fraction);
    if (compared)
      return evaluateCompared(model, compared.comparisons, compared.validation, { onProgress });
    if (distilled) return distilled.evaluate(model, onProgress);
    return evaluateExamples(model, data.validation, {
      task: recipe.task,
      labels: data.labels,
      collate: data.collate,
      pairs_per_batch: recipe.training.per_device_train_batch_size,
      onProgress,
    });
  }

  /** The losses of several sources, each on its own part of the validation set. */
  private async sourceLosses(): Promise<{ readonly sources?: readonly SourceLoss[] }> {
    const { data, recipe, model, compared, distilled } = this.parts;
    if (
      compared ||
      distilled ||
      data.sources.length < 2 ||
      data.sources.some((own) => own.validation === null)
    )
      return {};
    const sources: SourceLoss[] = [];
    for (const { name, validation } of data.sources) {
      const { loss, labelled } = await evaluateExamples(model, validation!, {
        task: recipe.task,
        labels: data.labels,
        collate: data.collate,
        pairs_per_batch: recipe.training.per_device_train_batch_size,
      });
      sources.push({ name, loss, labelled_tokens: labelled });
    }
    return { sources };
  }

  private async sample(): Promise<void> {
    const { recipe, emit } = this.parts;
    if (recipe.samples.sample_steps === 0) return;
    const jobs = this.parts.sampleJobs();
    const samples: Omit<SampleLine, 'kind' | 'step'>[] = [];
    for (const [i, { facts, complete }] of jobs.entries()) {
      this.reportProgress('sampling', i / jobs.length);
      samples.push({ ...facts, ...(await complete()) });
    }
    // all or none: a round that a stop interrupts is repeated
    for (const sample of samples)
      emit({ kind: 'metric', line: { kind: 'sample', step: this.step, ...sample } });
  }

  /** Writes what has been trained into a folder of the run. @throws LoraError */
  private async writeProduct(name: string): Promise<void> {
    const { product, run_dir } = this.parts;
    await this.checkFinite();
    await product.write(path.join(run_dir, name), this.productFacts());
  }

  /** @throws LoraError('run') when the trained weights are no longer finite */
  private async checkFinite(): Promise<void> {
    const fault = await this.parts.product.findNonFinite();
    if (fault !== null) throw await this.diverged(`${fault} after step ${this.step}`);
  }

  /** `what`: a clause without a full stop. `file`: the rows in question. */
  private async diverged(
    what: string,
    file: string = describeDataset(this.parts.recipe.dataset),
  ): Promise<LoraError> {
    const { recipe, run_dir } = this.parts;
    const saved = (await checkpointSteps(run_dir)).find((step) => step <= this.step);
    const { max_grad_norm } = recipe.training;
    return divergenceError(what, file, { max_grad_norm, checkpoint: saved ?? null });
  }

  private productFacts(): ProductFacts {
    return {
      steps: this.step,
      last_loss: this.lastLoss,
      validation_loss: this.lastEvaluation?.loss ?? null,
    };
  }

  private showFirstBatch(): void {
    const { recipe, emit } = this.parts;
    const line = firstBatchLine(
      this.examplesAt(this.batches.of(0)[0]!, 0),
      recipe.task,
      this.parts,
    );
    emit({ kind: 'metric', line });
  }

  private reportProgress(
    phase: 'training' | 'evaluating' | 'sampling' | 'saving',
    fraction: number | null,
  ): void {
    this.parts.emit({ kind: 'progress', progress: { phase, fraction } });
  }
}
