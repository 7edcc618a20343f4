// Runs as the editor shows them: the command line, which agents start, reads them in the same way.
export {
  byAge,
  canResume,
  collectRun,
  isActive,
  isActiveHere,
  isAway,
  lossOf,
  type LiveRun,
  type RunSummary,
} from '../../formats/run/summary';
