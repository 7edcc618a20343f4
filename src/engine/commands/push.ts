import { isHubName } from '../../formats/hub/hubName';
import { formatSize } from '../../common/formatSize';
import { hubEndpoint, hubToken } from '../download/hubEnvironment';
import { planPush, pushAdapter, type PushPlan } from '../push/pushAdapter';
import { joinLines } from '../report';
import { defineCommand, form } from './command';
import { printResult } from './context';
import { flag, optional, required } from './options';
import { anyText } from './optionValues';
import { withProgress } from './progress';

/** lora push. */
export const pushCommand = defineCommand({
  name: 'push',
  summary: 'Uploads an adapter to the Hugging Face Hub, privately unless you say otherwise.',
  notes: [
    'HF_TOKEN holds the access token, which must be allowed to write; HF_ENDPOINT is the address of another Hub server.',
  ],
  forms: [
    form({
      options: {
        adapter: required(anyText, 'DIR', 'folder of a PEFT adapter'),
        to: required(anyText, 'OWNER/NAME', 'repository, which is created if it is missing'),
        'base-name': optional(anyText, 'OWNER/MODEL', 'the base on the Hub, if it is a path here'),
        public: flag('let anyone see it'),
        update: flag('add to a repository that is there already'),
        yes: flag('upload; without it, only what would be uploaded is shown'),
      },
      check: ({ options: { to, 'base-name': base } }) => {
        if (!isHubName(to)) return '--to must be OWNER/NAME, as on the Hub.';
        return base === null || isHubName(base) ? null : '--base-name must be OWNER/MODEL.';
      },
      run: async ({ options }, context) => {
        const { adapter, to, public: isPublic, update, yes } = options;
        const endpoint = hubEndpoint();
        const { signal } = context;
        const hub = { endpoint, repository: to, revision: 'main', token: hubToken(), signal };
        const plan = await withProgress(context, ({ show, warn }) =>
          (yes ? pushAdapter : planPush)({
            hub,
            adapter,
            base_name: options['base-name'],
            public: isPublic,
            update,
            warn,
            onProgress: show,
          }),
        );
        printResult(context, { uploaded: yes, ...plan }, () => describe(plan, yes));
        return 0;
      },
    }),
  ],
});

function describe(plan: PushPlan, isUploaded: boolean): string {
  const { url, files, left_out, base, exists } = plan;
  const kind = plan.private ? 'private' : 'public';
  const head = isUploaded ? 'Uploaded' : 'To be uploaded';
  return joinLines([
    `${head} to ${url} (${kind}, ${exists ? 'there already' : 'new'}), for ${base}:`,
    ...files.map(({ path, size }) => `  ${path} (${formatSize(size)})`),
    ...(left_out.length === 0 ? [] : [`Not uploaded: ${left_out.join(', ')}`]),
    ...(isUploaded ? [] : ['Nothing was uploaded: --yes does it.']),
  ]);
}
