import { parametersOf } from '../../formats/architecture/size';
import { readSpec } from '../../formats/architecture/readSpec';
import { groupDigits } from '../describe';
import { hubConfig, listModelFiles } from '../download/hub';
import { ggufOnHub } from '../download/hubGguf';
import type { Hub } from '../download/hubFetch';
import { commonSizes } from '../../formats/architecture/commonSizes';
import { machineOfProcessor } from '../model/machine';
import { usualMemory } from '../../formats/architecture/usualMemory';
import { EXAMPLE_RANK } from '../../shared/usualBatch';
import { describeCommonSizes, describeStepMemory } from '../training/stepMemoryText';
import { sourcesOf, type DatasetSource } from '../../shared/datasetSources';
import { countOf } from '../../shared/values';
import { downloadSplit, listSplits } from '../download/datasetHub';
import { hubEndpoint, hubToken } from '../download/hubEnvironment';
import { downloadBaseModel } from '../download/downloadBaseModel';
import { ggufFiles, hasSafetensors, parseHubName, type HubFile } from '../download/plan';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { flag, optional, required, withDefault } from './options';
import { absolutePath, anyText, positiveWholeNumber } from './optionValues';

const revision = withDefault('main', anyText, 'REVISION', 'branch, tag or commit');

const hubOf = (
  repository: string,
  revision: string,
  { signal }: Pick<CommandContext, 'signal'>,
): Hub => ({ endpoint: hubEndpoint(), repository, revision, token: hubToken(), signal });

/** lora download. */
export const downloadCommand = defineCommand({
  name: 'download',
  summary: 'Downloads a base model or a dataset from the Hugging Face Hub, or resumes a download.',
  notes: [
    'HF_TOKEN holds an access token for models that need one; HF_ENDPOINT is the address of another Hub server.',
  ],
  forms: [
    form({
      positionals: {
        model: {
          valueName: 'OWNER/MODEL[/[FOLDER/]NAME.gguf]',
          help: 'model on the Hub, or one .gguf file of it',
        },
      },
      options: {
        output: required(absolutePath, 'FOLDER', 'folder to write the model to'),
        revision,
      },
      run: async ({ positionals, options: { output, revision } }, context) => {
        const { repository, file } = parseHubName(positionals.model);
        const { base, bytes } = await downloadBaseModel({
          hub: hubOf(repository, revision, context),
          file,
          output,
          onProgress: showPercentage(context),
        });
        printResult(context, { base, bytes }, () => `${base} (${mebibytes(bytes)})`);
        return 0;
      },
    }),
    form({
      selectedBy: 'memory',
      positionals: {
        model: {
          valueName: 'OWNER/MODEL[/[FOLDER/]NAME.gguf]',
          help: 'model on the Hub, or one .gguf file of it',
        },
      },
      options: {
        memory: flag('read only its config.json or GGUF header, and say what a step would need'),
        revision,
      },
      run: ({ positionals: { model }, options }, context) =>
        printMemory(model, options.revision, context),
    }),
    form({
      selectedBy: 'sizes',
      options: {
        sizes: flag('download nothing: what a step of models of 0.5B to 14B would need here'),
      },
      run: (_, context) => {
        const sizes = commonSizes(machineOfProcessor());
        const adapted = ` and r = ${EXAMPLE_RANK} in all linear layers`;
        printResult(context, { sizes }, () => describeCommonSizes(sizes, adapted).join('\n'));
        return Promise.resolve(0);
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

async function printMemory(
  model: string,
  revision: string,
  context: CommandContext,
): Promise<number> {
  const { repository, file } = parseHubName(model);
  const hub = hubOf(repository, revision, context);
  if (file !== null) return printGgufMemory(hub, await listModelFiles(hub, file), file, context);
  const config = await hubConfig(hub).catch(async (error: unknown) => {
    const files = await listModelFiles(hub, null).catch(() => []);
    if (hasSafetensors(files) || ggufFiles(files).length === 0) throw error;
    return files;
  });
  if (isFileList(config)) return printGgufMemory(hub, config, null, context);
  const spec = readSpec(config, `${repository}/config.json`);
  const parameters = parametersOf(spec);
  const memory = usualMemory({ spec, parameters }, machineOfProcessor());
  printResult(context, { model: repository, parameters, memory }, () =>
    [
      `${repository}: ${spec.family}, ${groupDigits(parameters)} parameters`,
      ...describeStepMemory(memory, ` and r = ${EXAMPLE_RANK} in all linear layers`),
    ].join('\n'),
  );
  return 0;
}

const isFileList = (value: object): value is readonly HubFile[] => Array.isArray(value);

async function printGgufMemory(
  hub: Hub,
  all: readonly HubFile[],
  named: string | null,
  context: CommandContext,
): Promise<number> {
  const found = await ggufOnHub(hub, all, named, machineOfProcessor());
  const { family, parameters, files, others, incomplete } = found;
  const { repository } = hub;
  const memory = files[0]?.memory;
  printResult(context, { model: repository, parameters, memory, files, others, incomplete }, () =>
    [
      `${repository}: ${family}, ${groupDigits(parameters)} parameters`,
      ...files.flatMap((own) => [
        `${own.file} (${mebibytes(own.bytes)})`,
        ...describeStepMemory(own.memory, ` and r = ${EXAMPLE_RANK} in all linear layers`),
      ]),
      ...others.map(
        (own) => `${own.file} (${mebibytes(own.bytes)}): maybe another model; name it to know more`,
      ),
      ...incomplete.map(({ file, missing }) => `${file}: left out, its part ${missing} is missing`),
    ].join('\n'),
  );
  return 0;
}

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
