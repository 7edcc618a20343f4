import path from 'node:path';
import { serveMcp } from '../mcp/server';
import { Tools } from '../mcp/tools';
import { Workspace } from '../mcp/workspace';
import { EXIT_STOPPED } from '../stopSignal';
import { defineCommand, form } from './command';
import { withDefault } from './options';
import { absolutePath } from './optionValues';

/** lora mcp: exit code 130 when a signal ends it. */
export const mcpCommand = defineCommand({
  name: 'mcp',
  summary: 'Serves the tools for runs to agents, by the Model Context Protocol.',
  alwaysJson: true,
  forms: [
    form({
      options: {
        root: withDefault('.', absolutePath, 'DIR', 'folder whose recipes and runs are used'),
      },
      run: async ({ options }, { dist, version, signal, note }) => {
        const tools = new Tools(await Workspace.open(options.root), path.join(dist, 'cli.js'));
        await serveMcp(tools, { version, signal, note });
        return signal.aborted ? EXIT_STOPPED : 0;
      },
    }),
  ],
  notes: ['Clients start it themselves, and talk to it on standard input and output.'],
});
