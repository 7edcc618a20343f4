import { markdownText } from '../../shared/plainText';

/** The facts of a training run that the README.md of its adapter shows. */
export interface LayersCardFacts {
  readonly base: string;
  readonly labels: readonly string[];
  readonly r: number;
  readonly lora_alpha: number;
  readonly kernels: number;
  readonly trainable_parameters: number;
  readonly examples: number;
  readonly steps: number;
  readonly learning_rate: number;
  readonly last_loss: number | null;
  readonly validation_loss: number | null;
}

/** The README.md of an adapter of a layers model. */
export function layersCard(facts: LayersCardFacts): string {
  const loss = (value: number | null) => (value === null ? '–' : value.toFixed(4));
  const row = (name: string, value: string | number) => `| ${name} | ${value} |`;
  return [
    '---',
    'library_name: tfjs',
    'tags:',
    '- lora',
    '---',
    '',
    `# LoRA adapter for ${markdownText(facts.base)}, a layers model of TensorFlow.js`,
    '',
    `W' = W + s·(BA)ᵀ with rank r = ${facts.r} and s from lora_alpha = ${facts.lora_alpha}, on ${facts.kernels} kernels: ${facts.trainable_parameters.toLocaleString('en-US')} trained parameters.`,
    '',
    '| | |',
    '|---|---|',
    row('Outputs', facts.labels.map(markdownText).join(', ')),
    row('Examples', facts.examples),
    row('Steps', facts.steps),
    row('Learning rate', facts.learning_rate),
    row('Last training loss', loss(facts.last_loss)),
    row('Validation loss', loss(facts.validation_loss)),
    '',
    'Merge it into its base with `lora merge`: the result is a model.json that any page with TensorFlow.js loads.',
    '',
  ].join('\n');
}
