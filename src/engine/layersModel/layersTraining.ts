import type { Adapter, AdapterConfig, LoraFactors, TrainedTensor } from '../../lora/adapter';
import type {
  Evaluation,
  LabelledInput,
  OptimizerSettings,
  OptimizerState,
  ReadTensor,
} from '../../models/model';
import { AdapterOptimizer } from '../../models/training/adapterOptimizer';
import { addInto, Parameters, type ParameterStart } from '../../models/training/parameters';
import { factorName, trainedTensor, type TrainedWeight } from './adapterTensors';
import { lossSum, type RowLoss } from './losses';
import type { ModelOutput } from './output';
import type { AdaptedModel } from '../../tfjs/adaptedModel';
import type { LayerVariable, Tensor, Tf } from '../../tfjs/tf';

/** What a layers model is trained with. */
export interface LayersTrainingParts {
  readonly tf: Tf;
  /** Freed with the training. */
  readonly adapted: AdaptedModel;
  readonly output: ModelOutput;
  /** Weights that train beside the factors, and their names in adapters. */
  readonly trained: readonly TrainedWeight[];
  readonly config: AdapterConfig;
  /** Of a row's inputs, without the batch. */
  readonly input_shape: readonly number[];
  readonly loss: RowLoss;
  /** Outputs for a row: classes, or numbers. */
  readonly width: number;
  readonly label_smoothing: number;
}

/** The name of a variable's tensor, by which tfjs gives its gradient. */
const nameOf = (variable: LayerVariable): string => variable.name;

interface Trained {
  readonly variable: LayerVariable;
  readonly start: ParameterStart;
}

/** A layers model of tfjs that trains through tfjs' tape, with PyTorch's AdamW. */
export class LayersTraining {
  private readonly parameters: Parameters;
  private readonly variables: readonly LayerVariable[];
  private readonly optimizer: AdapterOptimizer;
  private readonly restoreOutput: () => void;

  constructor(private readonly parts: LayersTrainingParts) {
    const all = this.starts();
    this.parameters = new Parameters(all.map(({ start }) => start));
    this.variables = all.map(({ variable }) => variable);
    this.optimizer = new AdapterOptimizer({
      parameters: this.parameters,
      notifyChanged: () => {
        this.writeBack();
        return Promise.resolve();
      },
    });
    const { loss, output } = parts;
    this.restoreOutput = loss === 'regression' ? () => undefined : output.withoutActivation();
  }

  get trainable_parameters(): number {
    return this.parameters.theta.length;
  }

  /** The number of live tensors: the same before and after each call of a method. */
  liveTensors(): number {
    return this.parts.tf.memory().numTensors;
  }

  /** The trainable tensor with a name of the adapter's file. @throws RangeError if there is none */
  variable(name: string): LayerVariable {
    return this.variables[this.parameters.all.indexOf(this.parameters.get(name))]!;
  }

  /** The sum of the losses of a batch; adds its gradient to that of the step. */
  accumulate(input: LabelledInput): Promise<Evaluation> {
    const { tf } = this.parts;
    const { value, grads } = tf.variableGrads(
      () => this.loss(input, this.parts.label_smoothing) as never,
      this.variables.map((variable) => variable.read() as never),
    );
    const loss_sum = value.dataSync()[0]!;
    this.parameters.all.forEach((parameter, i) => {
      // a layer that the output does not depend on has no gradient
      const gradient = grads[nameOf(this.variables[i]!)];
      if (gradient)
        addInto(this.parameters.gradient(parameter), gradient.dataSync() as Float32Array);
    });
    tf.dispose([value, ...Object.values(grads)]);
    return Promise.resolve({ ...this.counted(input, loss_sum), outputs: null });
  }

  /** The sum of the losses, without gradients and label smoothing, and the outputs. */
  evaluate(input: LabelledInput): Promise<Evaluation> {
    const { tf } = this.parts;
    const [loss, outputs] = tf.tidy((): [Tensor, Tensor] => {
      const outputs = this.outputs(input);
      const loss = lossSum(tf, this.parts.loss, {
        outputs,
        labels: input.labels,
        label_smoothing: 0,
      });
      return [loss, outputs];
    });
    const result = {
      ...this.counted(input, loss.dataSync()[0]!),
      outputs: outputs.dataSync() as Float32Array,
    };
    tf.dispose([loss, outputs]);
    return Promise.resolve(result);
  }

  async step(weight: number, settings: OptimizerSettings): Promise<{ readonly grad_norm: number }> {
    return { grad_norm: await this.optimizer.step(weight, settings) };
  }

  /** The gradients of the step so far divided by `weight`, by the names of the adapter's file. */
  gradients(weight: number): ReturnType<AdapterOptimizer['gradients']> {
    return this.optimizer.gradients(weight);
  }

  optimizerState(): OptimizerState {
    return this.optimizer.optimizerState();
  }

  restoreOptimizer(step: number, read: ReadTensor): Promise<void> {
    return this.optimizer.restore(step, read);
  }

  /** The adapter with its present numbers. */
  adapter(): Promise<Adapter> {
    const { adapted, config, trained } = this.parts;
    const value = (name: string) => this.parameters.value(this.parameters.get(name)).slice();
    const modules = adapted.adapted.map(({ kernel, r, scaling }): LoraFactors => {
      const { path, kind, in_features, out_features } = kernel;
      const [A, B] = [value(factorName(kernel, 'A')), value(factorName(kernel, 'B'))];
      return { path, kind, r, in_features, out_features, scaling, A, B, magnitude: null };
    });
    const saved = trained.map((own): TrainedTensor => trainedTensor(own, value(own.name)));
    return Promise.resolve({ config, modules, trained: saved });
  }

  dispose(): void {
    this.restoreOutput();
    const { adapted } = this.parts;
    adapted.detach();
    adapted.model.dispose();
  }

  private starts(): Trained[] {
    const { adapted, trained } = this.parts;
    const start = (
      variable: LayerVariable,
      name: string,
      role: ParameterStart['role'],
    ): Trained => ({
      variable,
      start: {
        name,
        role,
        shape: variable.shape as number[],
        data: variable.read().dataSync() as Float32Array,
      },
    });
    return [
      ...adapted.adapted.flatMap(({ kernel, A, B }) => [
        start(A, factorName(kernel, 'A'), 'A'),
        start(B, factorName(kernel, 'B'), 'B'),
      ]),
      ...trained.map(({ variable, name }) => start(variable, name, 'trained')),
    ];
  }

  private writeBack(): void {
    const { tf } = this.parts;
    this.parameters.all.forEach((parameter, i) =>
      tf.tidy(() => {
        const value = this.parameters.value(parameter).slice();
        this.variables[i]!.write(tf.tensor(value, [...parameter.shape]));
      }),
    );
  }

  private loss(input: LabelledInput, label_smoothing: number): Tensor {
    const { tf, loss } = this.parts;
    return lossSum(tf, loss, {
      outputs: this.outputs(input),
      labels: input.labels,
      label_smoothing,
    });
  }

  /** [batch, width]: before softmax or sigmoid where rows have classes. */
  private outputs({ batch, inputs }: LabelledInput): Tensor {
    const { tf, adapted, input_shape, width, loss } = this.parts;
    const x = tf.tensor(inputs!, [batch, ...input_shape]);
    const y = adapted.withKernels(() => adapted.model.apply(x, { training: false }) as Tensor);
    const given = y.size / batch;
    const rows = tf.reshape(y, [batch, given]);
    // one output for two classes is that of the second
    const isBinary = loss === 'single_label' && given === 1 && width === 2;
    return isBinary ? tf.concat([tf.zerosLike(rows), rows], 1) : rows;
  }

  private counted({ labels }: LabelledInput, loss_sum: number) {
    return { loss_sum, labelled: labels.length, weight: labels.length };
  }
}
