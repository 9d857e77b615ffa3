internal import Model

/// The reference of all configuration keys, made from the tables that read them.
package enum ConfigurationReference {
  package static func markdown() -> String {
    let head = """
      # Configuration reference

      This page is generated from the tables that read the configuration.

      A configuration is a YAML file of the sections below. Any key can be set on the command line, as in
      `--set training.steps=100`; the value is YAML too (`--set training.recompute=[norms]`). A key that is not
      listed here is refused. Defaults are those of DeepSeek-V3 where its report names a value. Numbers of tokens may be
      written `14.8T`, `469B`, `300M` or `64K` (powers of 1000).

      """
    let sections = RunConfiguration.schema.referenceRows.map { section($0, path: $0.key, level: 2) }
    return head + sections.joined() + huggingFace
  }

  private static func section(_ row: ReferenceRow, path: String, level: Int) -> String {
    var text = "\n" + String(repeating: "#", count: level) + " `\(path)`\n\n\(sentence(row.summary))\n\n"
    text += "| key | value | unit | default | meaning |\n|---|---|---|---|---|\n"
    for row in row.rows {
      let cells = [
        "`\(row.key)`", row.kind, row.unit ?? "", row.standard, row.summary,
      ]
      text += "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |\n"
    }
    for inner in row.rows where !inner.rows.isEmpty {
      text += section(inner, path: "\(path).\(inner.key)", level: level + 1)
    }
    return text
  }

  private static func sentence(_ text: String) -> String {
    // Not Λ for λ: only words begin with a capital.
    let isWord = text.first.map { $0.isASCII } ?? false
    let sentence = isWord ? text.prefix(1).uppercased() + text.dropFirst() : text
    return sentence.hasSuffix(".") ? sentence : sentence + "."
  }

  private static var huggingFace: String {
    let unused = ModelConfiguration.unusedKeys.sorted().map { "`\($0)`" }.joined(separator: ", ")
    return """

      ## A pasted `config.json`

      The `model` section also takes `model_type` (`deepseek_v3` or `deepseek_v2`, which changes the defaults of
      `scoring_func`, `topk_method`, `norm_topk_prob`, `routed_scaling_factor` and `num_nextn_predict_layers` to
      softmax, greedy, false, 1 and 0), `num_key_value_heads` (which must equal `num_attention_heads`), the names
      `num_mtp_layers`, `num_local_experts` and `num_experts`, and `rope_parameters` in place of `rope_theta` and
      `rope_scaling`. These keys are accepted and have no effect: \(unused).

      """
  }
}
