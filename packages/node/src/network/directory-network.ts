/**
 * The network of a node that is given directories: as they tell it or, with pinned keys, as enough of these have signed it.
 */
import type { Logger } from '@mixwright/runtime'
import { ConsensusNetwork } from './consensus-network.js'
import { DirectorySource, type DirectorySourceOptions } from './directory-source.js'
import { FoundingNetwork } from './founding-network.js'
import type { NetworkSource } from './network-source.js'

export interface DirectoryNetworkOptions extends DirectorySourceOptions {
  /** Base58 Ed25519 keys of all authorities. @default none: whichever directory answers is believed */
  readonly authorities?: readonly string[] | undefined
  /** Signatures needed. @default more than two thirds of the authorities */
  readonly threshold?: number | undefined
  readonly logger: Logger
}

/** Error: `MIX_OPTIONS` without a directory, or with URLs, keys or a threshold that are none. */
export function directoryNetwork(options: DirectoryNetworkOptions): NetworkSource {
  const source = new DirectorySource(options)
  const { authorities = [], directories: baseUrls } = options
  if (authorities.length === 0) return source
  return new FoundingNetwork(new ConsensusNetwork({ ...options, authorities, baseUrls, announceTo: source }), source)
}
