import * as v from 'valibot';

/** Programs that show runs, and get the metrics of this one while it trains. */
export const TRACKERS = ['tensorboard', 'mlflow', 'trackio'] as const;
export type TrackerName = (typeof TRACKERS)[number];

/** The recipe's `report_to`. */
export const TrackersSchema = v.array(v.picklist(TRACKERS));
