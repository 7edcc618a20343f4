import type { CommandRegistry } from '../commands/commandRegistry';
import { COMMANDS } from '../manifest/ids';
import type { RuntimeService } from './runtimeService';

export function registerRuntimeCommands(commands: CommandRegistry, runtime: RuntimeService): void {
  commands.add(COMMANDS.showRuntime, 'runtime', () => runtime.show());
  commands.add(COMMANDS.installRuntime, 'runtime', async () => {
    if (await runtime.install()) await runtime.show();
  });
}
