export { Authority, type AuthorityOptions } from './consensus/authority.js'
export { AuthorityDirectory, type AuthorityDirectoryOptions } from './consensus/authority-directory.js'
export type { AuthorityAddress } from './consensus/authority-peers.js'
export { authorityRoutes } from './consensus/authority-routes.js'
export { documentSnapshot } from './consensus/document-snapshot.js'
export type { EquivocationProof } from './consensus/misconduct.js'
export {
  type DirectoryVerification,
  type VerifiedDirectory,
  type VerifyDirectoryOptions,
  verifyDirectory,
} from './consensus/verify-directory.js'
export { Directory, type DirectoryOptions } from './directory.js'
export { type DirectoryIdentity, loadOrCreateIdentity, type WishedSchedule } from './directory-identity.js'
export { type DirectoryInspection, inspectDirectory } from './directory-inspection.js'
export { dealLayers, type Layers } from './document/layers.js'
export { type ListedNode, Snapshot } from './document/snapshot.js'
export { type EpochSchedule, epochAt } from './epoch.js'
export { type NodeEntry, type NodeReading, nodeEntryOf, type SignedNodeReading } from './nodes/node-reader.js'
export type { Refusal } from './nodes/node-registry.js'
export type { RegistrationPolicy } from './nodes/registration.js'
export type { ProbeEvents, ProbeGateway, ProbeLink, ProbingOptions } from './probing/prober.js'
export { directoryRoutes } from './routes/routes.js'
