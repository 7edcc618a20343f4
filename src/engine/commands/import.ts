import path from 'node:path';
import { newRunId, RUNS_FOLDER } from '../../shared/run';
import { countOf } from '../../shared/values';
import { readLog } from '../imports/readLog';
import { writeImported } from '../imports/writeImported';
import { joinLines } from '../report';
import { defineCommand, form } from './command';
import { printResult } from './context';
import { flag, optional } from './options';
import { absolutePath } from './optionValues';

/** lora import. */
export const importCommand = defineCommand({
  name: 'import',
  summary: "Reads the log of another program's training run into the run history.",
  endedBySignals: true,
  forms: [
    form({
      positionals: {
        log: {
          valueName: 'LOG',
          help: 'trainer_state.json, event files of TensorBoard, or the output of mlx_lm.lora',
        },
      },
      options: {
        'run-dir': optional(absolutePath, 'DIR', 'folder of the run (default: .lora/runs/…)'),
        adapter: flag("copy the adapter that lies beside the log, in PEFT's files"),
      },
      run: async ({ positionals, options: { 'run-dir': run_dir, adapter } }, context) => {
        const found = await readLog(path.resolve(positionals.log));
        if (found.isDamaged)
          context.warn('The file is damaged: what follows the wrong bytes is left out.');
        const time = new Date(found.log.started ?? found.written);
        const dir = run_dir ?? path.resolve(RUNS_FOLDER, newRunId(time));
        const { version } = context;
        const options = { run_dir: dir, version, withAdapter: adapter };
        const { result } = await writeImported(found, options);
        const { program, lines } = found.log;
        const count = (kind: string) => lines.filter((line) => line.kind === kind).length;
        printResult(context, { run_dir: dir, program, ...result }, () =>
          joinLines([
            `${program}: ${countOf(count('step'), 'step')} with a loss and ${countOf(count('eval'), 'evaluation')}, the last at step ${result.steps}`,
            `Run: ${dir}`,
          ]),
        );
        return 0;
      },
    }),
  ],
});
