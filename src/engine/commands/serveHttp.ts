import type { Products } from '../../shared/products';
import { BatchScheduler } from '../serve/batchScheduler';
import { isLoopback } from '../serve/http/access';
import { adapterNames, modelIds } from '../serve/http/modelNames';
import { RequestQueue } from '../serve/http/requestQueue';
import { startServer, type Answers } from '../serve/http/server';
import { ServedModels } from '../serve/servedModels';
import { EXIT_STOPPED, listenToStopSignals, REQUESTS_TO_END } from '../stopSignal';
import { form } from './command';
import {
  adaptersOption,
  baseDtypeOption,
  quantizeOption,
  quantizeOptions,
  baseOption,
  partialOption,
  productsOption,
  templateVariablesOption,
} from './commonOptions';
import { flag, optional, withDefault } from './options';
import { anyText, port, positiveWholeNumber, wholeNumber } from './optionValues';

/** The models to serve, over HTTP or not. */
export const servedModelOptions = {
  base: baseOption,
  adapter: { ...adaptersOption, help: 'adapter to choose from; repeat for several' },
  'chat-template-kwargs': templateVariablesOption,
  'base-dtype': baseDtypeOption('auto'),
  quantize: quantizeOption,
  products: productsOption('rounded'),
  partial: partialOption,
};

const httpOptions = {
  ...servedModelOptions,
  http: flag('answer requests over HTTP, as OpenAI does'),
  port: withDefault('8000', port, 'N', 'port; 0: any free one'),
  host: withDefault('127.0.0.1', anyText, 'HOST', 'address to listen at'),
  token: optional(
    anyText,
    'TOKEN',
    'what clients must send as their API key (or the variable LORA_SERVE_TOKEN)',
  ),
  parallel: withDefault('8', positiveWholeNumber, 'N', 'answers generated at the same time'),
  waiting: withDefault('64', wholeNumber, 'N', 'further requests that may wait'),
  'end-with-input': flag('end when standard input does, for programs that start the server'),
  'cache-mb': withDefault(
    '512',
    wholeNumber,
    'N',
    'MB of keys and values kept of finished requests',
  ),
};

interface HttpSettings {
  readonly host: string;
  readonly token: string | null;
}

/** The token of the command line, or of the environment, which other users cannot see. */
const tokenOf = (given: string | null): string | null =>
  given ?? (process.env['LORA_SERVE_TOKEN'] || null);

function checkToken({ host, token }: HttpSettings): string | null {
  if (tokenOf(token) !== null || isLoopback(host)) return null;
  return `Other machines reach ${host}: set a token (LORA_SERVE_TOKEN, or --token).`;
}

/** lora serve --http. */
export const serveHttpForm = form({
  selectedBy: 'http',
  options: httpOptions,
  check: ({ options }) => (options.token === '' ? '--token is empty.' : checkToken(options)),
  run: async ({ options }, context) => {
    const { base, adapter, host } = options;
    const emit = (event: object) => context.print(JSON.stringify(event));
    const server = await startServer({ host, token: tokenOf(options.token) }, options.port);
    let models: ServedModels | null = null;
    try {
      models = await ServedModels.open(
        { base, adapters: adapter },
        { ...context, warn: (message) => emit({ kind: 'warning', message }) },
        {
          base_dtype: options['base-dtype'],
          quantize: quantizeOptions(options.quantize),
          products: options.products,
          partial: options.partial,
          purposes: ['text', 'embedding', 'rating'],
          chat_template_kwargs: options['chat-template-kwargs'],
          onProgress: (fraction) => emit({ kind: 'progress', fraction }),
        },
      );
      const names = adapterNames(adapter);
      server.open(answersOf(models, names, options));
      const stop = listenToStopSignals(REQUESTS_TO_END, context.note);
      const url = `${server.url}/v1`;
      emit({ kind: 'ready', url, models: modelIds(names), device: models.device });
      if (!context.json) context.note(`Serving ${modelIds(names).join(', ')} at ${url}.`);
      await Promise.race([
        aborted(stop.signal),
        ...(options['end-with-input'] ? [inputEnded()] : []),
      ]);
      return EXIT_STOPPED;
    } finally {
      await server.close();
      await models?.close();
    }
  },
});

interface Bounds {
  readonly parallel: number;
  readonly waiting: number;
  readonly 'cache-mb': number;
  readonly products: Products;
}

/** What answers requests. */
function answersOf(
  models: ServedModels,
  names: readonly string[],
  { parallel, waiting, 'cache-mb': cache, products }: Bounds,
): Answers {
  const limits = { sequences: parallel, waiting, kept_bytes: cache * 1e6 };
  const scheduler = new BatchScheduler(models, limits, products);
  return { models, names, scheduler, queue: new RequestQueue(1 + waiting) };
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

const inputEnded = (): Promise<void> =>
  new Promise((resolve) => {
    const { stdin } = process;
    for (const event of ['end', 'close', 'error']) stdin.once(event, () => resolve());
    stdin.resume();
  });
