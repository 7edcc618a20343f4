import { startEngine as start, type EngineCommand } from '../../formats/run/startEngine';
import { t } from '../text/l10n';
import { hostEnvironment } from './hostEnvironment';

/**
 * Starts the engine in the editor's environment with the variables of the command, as
 * `formats/run/startEngine` does.
 */
export const startEngine = (command: EngineCommand): Promise<void> =>
  start(
    { ...command, env: { ...hostEnvironment(), ...command.env } },
    {
      notStarted: (reason) => t('The training process cannot be started: {0}', reason),
      notStored: (folder, reason) => t('Runs cannot be stored in {0}: {1}.', folder, reason),
      makeWritable: () => t('Make the folder writable, or move the recipe to a writable folder.'),
      endedAtOnce: (exitCode) =>
        t('The training process ended immediately (exit code {0}) without any output.', exitCode),
    },
  );
