import { hubEndpoint, hubToken } from '../download/hubEnvironment';
import { downloadBaseModel } from '../download/downloadBaseModel';
import { parseHubName } from '../download/plan';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { required, withDefault } from './options';
import { absolutePath, anyText } from './optionValues';

/** lora download. */
export const downloadCommand = defineCommand({
  name: 'download',
  summary: 'Downloads a base model from the Hugging Face Hub, or resumes a download.',
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
        printResult(
          context,
          { base, bytes },
          () => `${base} (${(bytes / 2 ** 20).toFixed(0)} MiB)`,
        );
        return 0;
      },
    }),
  ],
});

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
