export { Directory, type DirectoryOptions, type Refusal } from './directory.js'
export type { EpochSchedule } from './epoch.js'
export type { NodeEntry } from './node-reader.js'
