import { stat } from 'node:fs/promises';
import { TEACHER_ROWS } from '../../lora/memory';
import { loadModel } from '../../models/loadModel';
import type { LabelledInput, Model } from '../../models/model';
import type { Ops } from '../../models/ops/ops';
import { yieldToEventLoop } from '../../models/ops/ops';
import type { Recipe } from '../../shared/recipe';
import { hashOf } from '../comparisons/references';
import { EMPTY_ADAPTER } from '../model/backend';
import type { EvaluationResult } from '../tasks/evaluate';
import type { PreparedTraining } from '../training/prepare';
import { TaughtExamples } from './taughtExamples';
import { openTeacher, type TeacherPlan } from './teacher';
import { TeacherFile, writeTeacherFile, type PartName, type TeacherFileFacts } from './teacherFile';

/** A training run that learns from a teacher, whose targets are on disk. Close it. */
export class DistilledTraining {
  private constructor(
    private readonly plan: TeacherPlan,
    private readonly examples: TaughtExamples,
    private readonly file: TeacherFile,
  ) {}

  /**
   * Measures the teacher unless the run's folder has its targets already. The teacher is freed
   * before this returns.
   *
   * @throws LoraError; what `onProgress` throws
   */
  static async open(
    plan: TeacherPlan,
    { data, base }: PreparedTraining,
    context: {
      readonly recipe: Recipe;
      readonly run_dir: string;
      readonly ops: Ops;
      /** From 0 to 1. */
      readonly onProgress: (fraction: number) => void;
    },
  ): Promise<DistilledTraining> {
    const { recipe, run_dir } = context;
    const teacher = await openTeacher(plan.settings, base, {
      recipe,
      has_images: data.has_images,
    });
    try {
      const examples = new TaughtExamples(data);
      const facts: TeacherFileFacts = {
        fingerprint: fingerprintOf(plan.settings, recipe, [
          data.fingerprint,
          await Promise.all(teacher.weight_files.map(stateOf)),
        ]),
        tokens: examples.tokens,
        top_k: plan.settings.top_k,
        vocab_size: base.spec.vocab_size,
      };
      const kept = await TeacherFile.open(run_dir, facts);
      if (kept) return new DistilledTraining(plan, examples, kept);
      const model = await loadModel(teacher, EMPTY_ADAPTER, {
        ops: context.ops,
        ...plan.form,
        onProgress: () => context.onProgress(0),
      });
      try {
        if (data.has_images) await model.loadImages();
        await measure(model, examples, { plan, facts, ...context });
      } finally {
        model.dispose();
      }
      const file = await TeacherFile.open(run_dir, facts);
      if (!file) throw new RangeError("The teacher's targets cannot be read.");
      return new DistilledTraining(plan, examples, file);
    } finally {
      await teacher.close();
    }
  }

  /** A batch of a part with what the teacher says of it. */
  batch(part: PartName, indices: readonly number[]): Promise<LabelledInput> {
    const { examples, file, plan } = this;
    return examples.batch(part, indices, { file, settings: plan.settings });
  }

  /** The loss on the validation set, with its parts as scores. */
  async evaluate(
    model: Pick<Model, 'evaluate'>,
    onProgress: (fraction: number) => void,
  ): Promise<EvaluationResult> {
    const { kd_ratio, temperature } = this.plan.settings;
    const validation = this.examples.examples('validation');
    const order = Array.from({ length: validation.length }, (_, i) => i);
    order.sort((a, b) => validation.lengthAt(a) - validation.lengthAt(b));
    const sums = { loss: 0, divergence: 0, weight: 0, labelled: 0 };
    for (let i = 0; i < order.length; i += TEACHER_ROWS) {
      const input = await this.batch('validation', order.slice(i, i + TEACHER_ROWS));
      const part = await model.evaluate(input);
      sums.loss += part.loss_sum;
      sums.divergence += part.divergence_sum ?? 0;
      sums.weight += part.weight;
      sums.labelled += part.labelled;
      onProgress(Math.min(1, (i + TEACHER_ROWS) / order.length));
      await yieldToEventLoop();
    }
    const loss = sums.loss / sums.weight;
    const teacher_kl = sums.divergence / sums.weight;
    const entropy = (loss - kd_ratio * temperature ** 2 * teacher_kl) / (1 - kd_ratio);
    const perplexity = kd_ratio < 1 ? { perplexity: Math.exp(entropy) } : {};
    const { labelled, weight } = sums;
    return { loss, labelled, weight, scores: { ...perplexity, teacher_kl } };
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

interface MeasureParts {
  readonly plan: TeacherPlan;
  readonly facts: TeacherFileFacts;
  readonly run_dir: string;
  readonly onProgress: (fraction: number) => void;
}

function measure(
  model: Model,
  examples: TaughtExamples,
  { plan, facts, run_dir, onProgress }: MeasureParts,
): Promise<void> {
  const { train, validation } = facts.tokens;
  const share = train / (train + validation);
  return writeTeacherFile(run_dir, facts, (part) =>
    examples.measure(part, model, plan.settings, (done) =>
      onProgress(part === 'train' ? done * share : share + done * (1 - share)),
    ),
  );
}

/**
 * Of all that a teacher's targets depend on. What `auto` made of base_dtype is none of it: a run
 * that is resumed keeps the targets that it began with, even where another choice fits now.
 */
function fingerprintOf(
  { temperature, top_k }: TeacherPlan['settings'],
  recipe: Recipe,
  files: readonly unknown[],
): string {
  const { labels, validation_split, chats, chat_template_kwargs, unlabelled_rows, tools } = recipe;
  const { max_length, seed, packing, base_dtype } = recipe.training;
  return hashOf(
    JSON.stringify([
      [temperature, top_k, base_dtype],
      [recipe.dataset, recipe.validation, recipe.columns, tools],
      [labels, validation_split, chats, chat_template_kwargs, unlabelled_rows],
      [recipe.skip_faulty_rows, max_length, seed, packing],
      files,
    ]),
  );
}

/** What changes with a file. */
async function stateOf(file: string): Promise<readonly unknown[]> {
  const { size, mtimeMs } = await stat(file);
  return [file, size, mtimeMs];
}
