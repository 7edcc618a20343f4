import { sourcesOf, type DatasetSource } from '../../shared/datasetSources';
import { countOf } from '../../shared/values';
import { downloadSplit, listSplits } from '../download/datasetHub';
import { hubEndpoint, hubToken } from '../download/hubEnvironment';
import { downloadBaseModel } from '../download/downloadBaseModel';
import { parseHubName } from '../download/plan';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { flag, optional, required, withDefault } from './options';
import { absolutePath, anyText, positiveWholeNumber } from './optionValues';

/** lora download. */
export const downloadCommand = defineCommand({
  name: 'download',
  summary: 'Downloads a base model or a dataset from the Hugging Face Hub, or resumes a download.',
  notes: [
    'HF_TOKEN holds an access token for models that need one; HF_ENDPOINT is the address of another hub.',
  ],
  forms: [
    form({
      positionals: {
        model: {
          valueName: 'OWNER/MODEL[/NAME.gguf]',
          help: 'model on the Hub, or one .gguf file of it',
        },
      },
      options: {
        output: required(absolutePath, 'FOLDER', 'folder to write the model to'),
        revision: withDefault('main', anyText, 'REVISION', 'branch, tag or commit'),
      },
      run: async ({ positionals, options: { output, revision } }, context) => {
        const token = hubToken();
        const { repository, file } = parseHubName(positionals.model);
        const { base, bytes } = await downloadBaseModel({
          hub: { endpoint: hubEndpoint(), repository, revision, token, signal: context.signal },
          file,
          output,
          onProgress: showPercentage(context),
        });
        printResult(context, { base, bytes }, () => `${base} (${mebibytes(bytes)})`);
        return 0;
      },
    }),
    form({
      selectedBy: 'dataset',
      options: {
        dataset: required(anyText, 'hf://OWNER/NAME', 'dataset on the Hub, kept in its cache'),
        config: optional(anyText, 'NAME', 'its configuration'),
        split: optional(anyText, 'NAME', 'its split; train by default'),
        rows: optional(positiveWholeNumber, 'N', 'only as many files as its first N rows need'),
        list: flag('list its configurations and splits, and download nothing'),
      },
      run: ({ options: { dataset, config, split, rows, list } }, context) => {
        const given = { config: config ?? undefined, split: split ?? undefined };
        const [source] = sourcesOf({ path: dataset, ...given, rows: rows ?? undefined });
        return (list ? printSplits : downloadDataset)(source!, context);
      },
    }),
  ],
});

async function printSplits(source: DatasetSource, context: CommandContext): Promise<number> {
  const splits = await listSplits(source, context.signal);
  printResult(context, { splits }, () =>
    splits
      .map(({ config, split, bytes }) => `${config} / ${split} (${mebibytes(bytes)})`)
      .join('\n'),
  );
  return 0;
}

async function downloadDataset(source: DatasetSource, context: CommandContext): Promise<number> {
  const onProgress = showPercentage(context);
  const { files, revision } = await downloadSplit(source, { signal: context.signal, onProgress });
  printResult(context, { files, revision }, () =>
    [`${countOf(files.length, 'file')} of commit ${revision}`, ...files].join('\n'),
  );
  return 0;
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** Prints every percent as JSON, or every tenth percent as text. */
function showPercentage({ json, print, note }: CommandContext): (fraction: number) => void {
  let shown = -1;
  return (fraction) => {
    const percent = Math.floor(100 * fraction);
    if (percent === shown) {
      return;
    }
    shown = percent;
    if (json) {
      print(JSON.stringify({ kind: 'progress', phase: 'downloading', fraction }));
    } else if (percent % 10 === 0) {
      note(`${percent}%`);
    }
  };
}
