import type { ModelTask } from '../../shared/task';
import type { GgufFamily } from '../gguf/family';
import type { Config, ConfigReader } from './config';
import type { Spec } from './spec';
import type { VisionSpec } from './spec';

/** The use of a model whose config does not specify it. */
export interface SpecOptions {
  readonly task: ModelTask;
  /** Outputs of a head for labels. */
  readonly num_labels: number;
}

/**
 * How a tensor's name in an older checkpoint becomes its name in current transformers; null: a
 * buffer, which is not a weight.
 */
export type Rename = readonly [from: RegExp, to: string | null];

/**
 * Ends of paths: of the module that a checkpoint has, after the renames, and of those that current
 * transformers have instead, each with its share of the rows, in their order.
 */
export interface StackedModules {
  readonly stored: string;
  readonly modules: readonly string[];
}

/**
 * Everything that the program knows of one `model_type`, apart from what its layers compute. Every
 * key is required, so that a new family cannot forget one.
 */
export interface Family {
  /** The tasks that its models can be trained for. */
  readonly tasks: readonly ModelTask[];
  /**
   * The model that a config.json describes.
   *
   * @throws LoraError('base') naming the key that is missing or wrong.
   */
  readonly spec: (reader: ConfigReader, options: SpecOptions) => Spec;
  readonly renames: readonly Rename[];
  /** Modules whose rows may be one tensor of a checkpoint. Not given: none. */
  readonly stacked?: readonly StackedModules[];
  /** The start of transformers' class names: `Llama` of LlamaForCausalLM. */
  readonly transformersClass: string;
  /** Its classes for tasks whose names do not follow from `transformersClass`. */
  readonly taskClasses?: Readonly<Partial<Record<ModelTask, string>>>;
  /** How published files pack its weights (quantization_config.quant_method). Not given: not. */
  readonly packed?: 'mxfp4';
  /** Whether its models may be mixtures of experts. Not given: a config with experts is refused. */
  readonly hasExperts?: true;
  /** Whether mlx-lm has models of this family; within: only those for text and images. */
  readonly mlx: boolean | 'within';
  /**
   * Whether PEFT takes experts and routers in target_modules for target_parameters, as its older
   * adapters name them. Not given: target_modules means other layers.
   */
  readonly translatesTargets?: true;
  /**
   * The vision encoders of vision-language models that have it as their language model, by
   * their `model_type`, from the config of the whole model. Not given: images are not supported.
   */
  readonly vision?: Readonly<Record<string, (config: Config, file: string) => VisionSpec>>;
  /** The family in GGUF files; null when such files of it are not supported. */
  readonly gguf: GgufFamily | null;
}
