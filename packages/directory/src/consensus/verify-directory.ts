/**
 * Looking at directories from outside (03-directory §18), for `directory verify`: what each of them shows, whether enough of
 * the pinned authorities have signed it, and whether they agree.
 */
import { type Clock, MixError, RealClock, silentLogger } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { ConsensusSource, type Fetch, isRoutable } from '@mixwright/wire'

export interface VerifyDirectoryOptions {
  /** Signatures needed. @default more than two thirds of the keys */
  readonly threshold?: number
  readonly clock?: Clock
  readonly crypto?: CryptoProvider
  readonly fetch?: Fetch
}

/** A directory whose document is to be believed. */
export interface VerifiedDirectory {
  readonly url: string
  readonly epochId: number
  /** Hexadecimal. */
  readonly sha256: string
  readonly previousSha256: string | undefined
  /** Keys of those who signed, as shown. */
  readonly signers: readonly string[]
  readonly nodes: number
  readonly routable: boolean
}

export interface DirectoryTrouble {
  readonly url: string
  readonly code: string
  readonly reason: string
}

export interface DirectoryVerification {
  readonly documents: readonly VerifiedDirectory[]
  readonly trouble: readonly DirectoryTrouble[]
  /** All that are to be believed show the same document, and there is one. */
  readonly agreed: boolean
}

/** Ask every directory on its own. `keys`: base58, of all authorities. Error: `MIX_OPTIONS`; a bad directory is a result. */
export async function verifyDirectory(
  urls: readonly string[],
  keys: readonly string[],
  options: VerifyDirectoryOptions = {},
): Promise<DirectoryVerification> {
  const { threshold, fetch, clock = new RealClock(), crypto = await loadCryptoProvider() } = options
  const sources = urls.map((url) => {
    const baseUrls = [url.replace(/\/+$/, '')]
    return {
      url,
      source: new ConsensusSource({
        baseUrls,
        authorities: keys,
        threshold,
        clock,
        crypto,
        fetch,
        logger: silentLogger,
      }),
    }
  })
  const answers = await Promise.all(sources.map(({ url, source }) => look(url, source)))
  const documents = answers.flatMap((answer) => ('sha256' in answer ? [answer] : []))
  const trouble = answers.flatMap((answer) => ('code' in answer ? [answer] : []))
  return { documents, trouble, agreed: new Set(documents.map(({ sha256 }) => sha256)).size === 1 }
}

async function look(url: string, source: ConsensusSource): Promise<VerifiedDirectory | DirectoryTrouble> {
  try {
    const { document, sha256, consensus } = await source.read()
    return {
      url,
      epochId: document.epoch_id,
      sha256,
      previousSha256: document.previous?.sha256,
      signers: consensus.signatures.map(({ authority }) => authority),
      nodes: document.nodes.length,
      routable: isRoutable(document),
    }
  } catch (error) {
    if (!(error instanceof MixError)) throw error
    return { url, code: error.code, reason: String(error.data.reason) }
  }
}
