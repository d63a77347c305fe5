/**
 * Signatures of authorities (03-directory §18): Ed25519 over a word that says what is signed and the SHA-256 hash of its
 * canonical text. The word keeps a signature of one kind from being taken for another.
 */
import { concatBytes, fromHex, utf8 } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { decodeBase58, encodeBase58 } from '../base58.js'
import { publicKey } from '../directory/key-text.js'
import { list, struct, text, u8, u32, type ValueOf } from '../directory/schema.js'
import { hashText } from './network-document.js'

/**
 * What is signed: a vote by its author, the receipt of another's vote, or the document of an epoch and round. Those numbers
 * are signed too: two signatures of one authority for the same round and different hashes prove by themselves that it lied.
 */
export type SignedKind = 'vote' | 'receipt' | `document ${number} ${number}`

export function documentKind({ epoch_id, round }: { readonly epoch_id: number; readonly round: number }): SignedKind {
  return `document ${epoch_id} ${round}`
}

const signatureText = text((value) => decodeBase58(value, 64) !== undefined, 'a base58 signature of 64 bytes')

/** A signature beside what it signs. */
export const authoritySignatureSchema = struct({ authority: publicKey, signature: signatureText })
export type AuthoritySignature = ValueOf<typeof authoritySignatureSchema>

export const authoritySignaturesSchema = list(authoritySignatureSchema)

/** The signature of a network document, alone. */
export const documentSignatureSchema = struct({
  epoch_id: u32,
  round: u8,
  sha256: hashText,
  authority: publicKey,
  signature: signatureText,
})
export type DocumentSignature = ValueOf<typeof documentSignatureSchema>

function signedBytes(kind: SignedKind, sha256: string): Uint8Array {
  return concatBytes(utf8(`mixwright ${kind} 1\0`), fromHex(sha256))
}

/** Sign a hash (hexadecimal) with a 32-byte seed. */
export function signHash(
  crypto: CryptoProvider,
  kind: SignedKind,
  sha256: string,
  seed: Uint8Array,
): AuthoritySignature {
  return {
    authority: encodeBase58(crypto.ed25519PublicKey(seed)),
    signature: encodeBase58(crypto.ed25519Sign(signedBytes(kind, sha256), seed)),
  }
}

export function verifyHash(
  crypto: CryptoProvider,
  kind: SignedKind,
  sha256: string,
  { authority, signature }: AuthoritySignature,
): boolean {
  const key = decodeBase58(authority, 32)
  const bytes = decodeBase58(signature, 64)
  return key !== undefined && bytes !== undefined && crypto.ed25519Verify(bytes, signedBytes(kind, sha256), key)
}
