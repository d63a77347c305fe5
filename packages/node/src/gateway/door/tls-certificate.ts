/**
 * The certificate of a gateway's `wss` door (02-gateway §1): read from its two files, and read again when they change, as
 * a program that renews certificates leaves them. A pair that does not fit keeps the old one in use.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContext } from 'node:tls'
import { type Clock, type Logger, type Metrics, MixError, type Timer } from '@mixwright/runtime'

/** Between looks at the files, milliseconds. */
const LOOK_MS = 60_000

export interface CertificateFiles {
  /** PEM: the certificate, then those that lead to its root. */
  readonly certificateFile: string
  /** PEM, without a passphrase. */
  readonly keyFile: string
}

interface Loaded {
  readonly certificate: string
  readonly key: string
  readonly context: SecureContext
}

export class TlsCertificate {
  readonly #files: CertificateFiles
  readonly #clock: Clock
  readonly #logger: Logger
  #loaded: Loaded
  #timer: Timer | undefined
  /** What the last failed look found, so that each fault is told once. */
  #complaint: string | undefined

  /** Error: `MIX_GATEWAY_CERTIFICATE` (a file is missing, is no PEM, or the two do not belong together). */
  constructor(files: CertificateFiles, clock: Clock, logger: Logger, metrics: Metrics) {
    this.#files = files
    this.#clock = clock
    this.#logger = logger
    try {
      this.#loaded = load(files)
    } catch (cause) {
      const { certificateFile, keyFile } = files
      const message = `The certificate ${certificateFile} with the key ${keyFile} cannot be used: ${(cause as Error).message}`
      throw new MixError('MIX_GATEWAY_CERTIFICATE', message, {
        kind: 'local',
        data: { certificateFile, keyFile },
        cause,
      })
    }
    metrics.gauge(
      'mixwright_gateway_certificate_expires_timestamp_seconds',
      'When the certificate for wss ends',
      {},
      () => Date.parse(new X509Certificate(this.#loaded.certificate).validTo) / 1000,
    )
    this.#lookLater()
  }

  /** For the next connection. */
  get context(): SecureContext {
    return this.#loaded.context
  }

  /** Read the files again, now; false, with an error in the log, when they cannot be used: then the old pair stays. */
  reload(): boolean {
    try {
      const loaded = load(this.#files, this.#loaded)
      if (loaded !== this.#loaded) this.#logger.info({}, 'the certificate for wss was renewed')
      this.#loaded = loaded
      this.#complaint = undefined
      return true
    } catch (error) {
      const reason = (error as Error).message
      if (reason !== this.#complaint) {
        this.#logger.error({ reason }, 'the new certificate for wss cannot be used; the old one stays')
      }
      this.#complaint = reason
      return false
    }
  }

  /** Look at the files no more. */
  close(): void {
    this.#timer?.cancel()
  }

  #lookLater(): void {
    this.#timer = this.#clock.setTimer(
      LOOK_MS,
      () => {
        this.reload()
        this.#lookLater()
      },
      { background: true },
    )
  }
}

/** What the files hold; `current` itself when it is the same. */
function load({ certificateFile, keyFile }: CertificateFiles, current?: Loaded): Loaded {
  const certificate = readFileSync(certificateFile, 'utf8')
  const key = readFileSync(keyFile, 'utf8')
  if (current?.certificate === certificate && current.key === key) return current
  // Asked first: for TLS an empty file is no certificate, and no error.
  if (!new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) {
    throw new Error('the key is not that of the certificate')
  }
  return { certificate, key, context: createSecureContext({ cert: certificate, key, minVersion: 'TLSv1.2' }) }
}
