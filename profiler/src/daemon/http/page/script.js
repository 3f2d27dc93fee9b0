// Two recordings of different views cannot be compared: once one is chosen, those of other views are disabled.
"use strict";
(function () {
    var form = document.getElementById("compare");
    if (!form) return;
    var radios = Array.from(form.querySelectorAll("input[type=radio]"));
    var button = document.getElementById("compare-button");
    function update() {
        var chosen = radios.filter(function (radio) { return radio.checked; });
        var view = chosen.length ? chosen[0].dataset.view : null;
        radios.forEach(function (radio) {
            radio.disabled = view !== null && radio.dataset.view !== view;
        });
        button.disabled = chosen.length < 2;
    }
    form.addEventListener("change", update);
    form.addEventListener("reset", function () { setTimeout(update, 0); });
    update();
})();
