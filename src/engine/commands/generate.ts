import { answerPrompt } from '../model/answer';
import { loadTokenizer, withModel } from '../model/openModel';
import type { Context } from './context';
import { dtypeOf, readOptions, required, temperatureOf, usageError, wholeNumber } from './options';

export const GENERATE_USAGE =
  'lora generate --base PATH [--adapter DIR…] --prompt TEXT [--chat] [--max-new-tokens N] [--temperature T] [--seed N] [--base-dtype auto|float32|bfloat16] [--json]';

export async function generate(args: readonly string[], context: Context): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    {
      base: { type: 'string' },
      adapter: { type: 'string', multiple: true },
      prompt: { type: 'string' },
      chat: { type: 'boolean' },
      'max-new-tokens': { type: 'string' },
      temperature: { type: 'string' },
      seed: { type: 'string' },
      'base-dtype': { type: 'string' },
    },
    GENERATE_USAGE,
  );
  if (positionals.length > 0)
    throw usageError(`${JSON.stringify(positionals[0])} is not an option`, GENERATE_USAGE);
  const prompt = required(values.prompt, 'prompt', GENERATE_USAGE);
  const options = {
    chat: values.chat ?? false,
    temperature: temperatureOf(values.temperature, GENERATE_USAGE),
    seed: wholeNumber(values.seed, 'seed', 0, GENERATE_USAGE),
    max_new_tokens: wholeNumber(values['max-new-tokens'], 'max-new-tokens', 256, GENERATE_USAGE),
  };
  const paths = {
    base: required(values.base, 'base', GENERATE_USAGE),
    adapters: values.adapter ?? [],
  };
  return withModel(
    paths,
    context,
    { base_dtype: dtypeOf(values['base-dtype'], 'float32', GENERATE_USAGE) },
    async ({ base, model }) => {
      const tokenizer = await loadTokenizer(base);
      let shown = '';
      const onText = (text: string) => {
        if (!context.json && !text.endsWith('\ufffd'))
          process.stdout.write(text.slice(shown.length)); // half a character is held back
        if (!text.endsWith('\ufffd')) shown = text;
        return !context.signal.aborted;
      };
      const text = await answerPrompt(model, tokenizer, prompt, { ...options, onText });
      context.print(
        context.json ? JSON.stringify({ kind: 'result', prompt, text }) : text.slice(shown.length),
      );
      return 0;
    },
  );
}
