#!/usr/bin/env bash
# Train RT-DETR with SpaRTAN-XT, and SpaRTAN-XT as a classifier, on handwritten digits that ship inside scikit-learn;
# evaluate the checkpoints and draw. What `make demo` runs. Interrupted, it goes on from the last epoch.
set -euo pipefail
cd "$(dirname "$0")/.."

analyze_logs=$(python -c 'import mmpretrain; print(mmpretrain.__path__[0])')/.mim/tools/analysis_tools/analyze_logs.py

# demo CONFIG EPOCHS DRAW_EVERY KEY...: train, evaluate, and draw the curves of KEYs of the log
demo() {
    local config=configs/$1.py out=work_dirs/$1 epochs=$2 every=$3
    if [ -f "$out/epoch_$epochs.pth" ]; then
        echo "$out holds a finished training. Remove the folder to train anew."
    else
        python tools/train.py "$config" --work-dir "$out" --resume
    fi
    rm -rf "$out/predictions"
    python tools/test.py "$config" "$(cat "$out/last_checkpoint")" --work-dir "$out" \
        --out "$out/metrics.json" --out-item metrics --show-dir "$out/predictions" \
        --cfg-options default_hooks.visualization.interval="$every"
    cat "$out"/*/vis_data/scalars.json >"$out/scalars.json" # of all runs, should training have been interrupted
    for key in "${@:4}"; do
        python "$analyze_logs" plot_curve "$out/scalars.json" --keys "$key" --legend "$key" \
            --out "$out/curve_${key##*/}.png" >/dev/null
    done
}

echo "[1/3] 1500 scenes of digits to train on, 200 with other digits to evaluate: some seconds."
python tools/dataset_converters/digits_to_coco.py --out data/digits_coco

echo "[2/3] The detector: RT-DETR with SpaRTAN-XT, 6 epochs. About 10 minutes on 2 cores."
demo rtdetr_spartan_xt_digits 6 10 loss coco/bbox_mAP

echo "[3/3] The classifier: SpaRTAN-XT, 12 epochs over 1438 digits. About 4 minutes on 2 cores."
demo spartan_xt_digits 12 20 loss accuracy/top1

echo
echo "From tools/test.py, on digits that were not trained on:"
for name in rtdetr_spartan_xt_digits spartan_xt_digits; do
    echo "  $name: $(cat "work_dirs/$name/metrics.json")"
    echo "    checkpoint  $(cat "work_dirs/$name/last_checkpoint")"
    echo "    curves      $(echo work_dirs/"$name"/curve_*.png)"
    echo "    predictions work_dirs/$name/predictions/"
done
