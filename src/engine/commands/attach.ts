import path from 'node:path';
import { defineCommand, form } from './command';
import { optional } from './options';
import { absolutePath } from './optionValues';
import { attachForeign } from './foreignRun';
import { attachRun } from './remoteTraining';

/** lora attach: exit code 1 if the run fails, 130 if it is stopped or left. */
export const attachCommand = defineCommand({
  name: 'attach',
  summary: 'Follows a run on a target, here or started elsewhere.',
  forms: [
    form({
      positionals: { run: { valueName: 'RUN_DIR', help: 'folder of a run that was sent' } },
      options: {},
      run: async ({ positionals }, context) => attachRun(path.resolve(positionals.run), context),
    }),
    form({
      positionals: {
        target: { valueName: 'TARGET', help: 'name of a target' },
        run: { valueName: 'RUN', help: 'id of a run there, or "last"' },
      },
      options: {
        'run-dir': optional(absolutePath, 'DIR', 'folder for the run here (default: .lora/runs/…)'),
      },
      run: async ({ positionals, options }, context) =>
        attachForeign({ ...positionals, run_dir: options['run-dir'] }, context),
    }),
  ],
  notes: ['The first interrupt (Ctrl+C) leaves the run, which continues there.'],
});
